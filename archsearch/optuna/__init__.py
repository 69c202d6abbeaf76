"""The search's sampler for any Optuna study: `optuna.create_study(sampler=archsearch.optuna.Sampler())`.

`learnt` makes a prior for it from `Task`s: what earlier studies have found.
"""

from archsearch.optuna.gp_sampler import Sampler
from archsearch.surrogate.prior import Task, learnt

__all__ = ["Sampler", "Task", "learnt"]
