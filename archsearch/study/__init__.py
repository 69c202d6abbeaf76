"""Searching a space: proposals, trials, finals, export; the only package that knows Optuna."""
