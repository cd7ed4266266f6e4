"""Networks that predict the next token, what they are made of, and what builds them."""
