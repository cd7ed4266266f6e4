"""Measurements beside others, for docs/benchmarks.md."""
