"""Sources of text: a file each, with its options, and a line in `config/registries.py`."""
