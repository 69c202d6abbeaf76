"""Knobs and states in Optuna's terms, and Optuna without its chatter."""

import warnings
from typing import TYPE_CHECKING, Final

from archsearch.archive.orders import State
from archsearch.space.knobs import IntKnob, Knob, KnobValue

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import TrialState

METRIC_NAMES: Final = "study:metric_names"
"""The attribute from which Optuna and its dashboard take what a study's values are called."""


def distributions(knobs: tuple[Knob, ...]) -> "dict[str, BaseDistribution]":
    """Return what values the knobs have, by name."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        knob.name: IntDistribution(knob.low, knob.high)
        if isinstance(knob, IntKnob)
        else CategoricalDistribution(knob.choices)
        for knob in knobs
    }


def plain(value: KnobValue) -> KnobValue:
    """Return a knob's value as JSON holds it: samplers may give NumPy numbers."""
    item = getattr(value, "item", None)
    return value if item is None else item()


def states() -> "dict[TrialState, State]":
    """Return this program's word for each of Optuna's states."""
    from optuna.trial import TrialState

    return {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }


def hush() -> None:
    """Keep Optuna's own lines and notices of experimental features from the user."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
