"""The search's sampler for any Optuna study: `optuna.create_study(sampler=archsearch.optuna.Sampler())`."""

from archsearch.optuna.gp_sampler import Sampler

__all__ = ["Sampler"]
