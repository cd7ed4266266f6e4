"""Networks that predict the next token: their parts, and how they are built."""
