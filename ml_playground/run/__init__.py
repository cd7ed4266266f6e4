"""A run directory: every file format of it, both ways."""
