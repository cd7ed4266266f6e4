"""Trained models in LIT, the Learning Interpretability Tool (Tenney et al. 2020): its models, data, metrics and server.

The only folder that imports `lit_nlp`, which is installed in an environment of its own (`make lit`).
"""
