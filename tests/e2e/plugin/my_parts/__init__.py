"""Parts for ml_playground from a package elsewhere: a file each, and a line in `pyproject.toml`."""
