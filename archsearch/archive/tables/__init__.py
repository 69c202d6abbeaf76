"""Optuna's tables: read and written as they are, where its own way takes long."""
