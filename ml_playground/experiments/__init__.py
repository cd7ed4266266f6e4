"""Experiments: a folder each, with `prepare.py`, `config.toml` and `Readme.md`."""

from ml_playground.experiments.registry import PREPARERS, Experiment, all_experiments, find, prepare, register

__all__ = ["PREPARERS", "Experiment", "all_experiments", "find", "prepare", "register"]
