"""Hugging Face's format, both ways: which class of Transformers a model is, and the folders that hold one."""
