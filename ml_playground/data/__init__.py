"""From raw text to token files to batches."""
