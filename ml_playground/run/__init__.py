"""Run directories: reading and writing every file in them."""
