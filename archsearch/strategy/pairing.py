"""Pairs of networks that differ in a design rule alone: one keeps it, the next one breaks it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from archsearch.archive.orders import Trial
from archsearch.space.knobs import Knob, Knobs, KnobValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A network that may be one of a pair.

    Attributes:
        number: of its trial.
        keeps: whether it keeps the rule.
        accuracy: of its training, a share of one; None: it has none, or not yet.
    """

    number: int
    knobs: Knobs
    keeps: bool
    accuracy: float | None


Pair = tuple[Member, Member]
"""The one that keeps the rule first."""


def pairs_of(members: Iterable[Member], *, freed: Collection[str]) -> list[Pair]:
    """Return the pairs of a study in their order: trials one after the other, alike but for `freed` knobs."""
    found = sorted(members, key=lambda member: member.number)
    return [
        (one, next_one)
        for one, next_one in pairwise(found)
        if one.keeps
        and not next_one.keeps
        and next_one.number == one.number + 1
        and _rest(one.knobs, freed) == _rest(next_one.knobs, freed)
    ]


def breaks(knobs: Iterable[Knob], keeping: Mapping[str, Collection[KnobValue]]) -> bool:
    """Say whether some value of the knobs is none of those that keep the rule, `keeping` by knob."""
    values = {knob.name: knob.values() for knob in knobs}
    return any(set(values[name]) - set(kept) for name, kept in keeping.items())


def differences(pairs: Iterable[Pair]) -> list[float]:
    """Return what the rule brings in each pair that has both accuracies, in points of a hundred."""
    return [
        100 * (one.accuracy - other.accuracy)
        for one, other in pairs
        if one.accuracy is not None and other.accuracy is not None
    ]


def accuracy_of(trial: Trial, *, guessing: float) -> float | None:
    """Return a trial's accuracy; `guessing` where it diverged: to leave it out would favour what does."""
    ended = trial.best_known
    if ended is None or ended.outcome is None:
        return None
    if ended.outcome.status == "complete":
        return ended.outcome.val_accuracy
    return guessing if ended.outcome.stalled else None


def _rest(knobs: Knobs, freed: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in knobs.items() if name not in freed}
