"""Helpers that depend on nothing else here but the errors."""
