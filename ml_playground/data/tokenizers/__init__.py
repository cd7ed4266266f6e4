"""Tokenizers: a file each, their options, and a line each in `config/registries.py`."""
