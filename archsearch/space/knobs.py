"""Knobs: the choices a space leaves open, declared once and chosen by Optuna, Keras Tuner, chance or hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from archsearch.errors import UserError

KnobValue: TypeAlias = int | float | str | bool
Knobs: TypeAlias = Mapping[str, KnobValue]


@dataclass(frozen=True, slots=True)
class IntKnob:
    """A whole number from `low` to `high`, both included."""

    name: str
    low: int
    high: int

    def values(self) -> tuple[KnobValue, ...]:
        """Return all values, in order."""
        return tuple(range(self.low, self.high + 1))


@dataclass(frozen=True, slots=True)
class ChoiceKnob:
    """One of a few values."""

    name: str
    choices: tuple[KnobValue, ...]

    def values(self) -> tuple[KnobValue, ...]:
        """Return all values, in order."""
        return self.choices


@dataclass(frozen=True, slots=True)
class RisingKnob(ChoiceKnob):
    """One of a few numbers in rising order, with which the network's FLOPs rise."""


Knob: TypeAlias = IntKnob | ChoiceKnob


@dataclass(frozen=True, slots=True)
class Freedom:
    """What a freed design rule opens: a knob of its own, or more values of a knob there is.

    Attributes:
        knob: with all its values; those that keep the rule are among them.
        held: a knob of its own has this value while the rule is held; None where the space has a knob of
            that name anyway.
    """

    knob: ChoiceKnob
    held: KnobValue | None = None

    def held_values(self, held: Mapping[str, Knob]) -> tuple[KnobValue, ...]:
        """Return the values that keep the rule; `held` are the knobs of the space that holds it."""
        return held[self.knob.name].values() if self.held is None else (self.held,)


def draw(knobs: Sequence[Knob], rng: Random) -> dict[str, KnobValue]:
    """Choose each knob's value uniformly and independently."""
    return {knob.name: rng.choice(knob.values()) for knob in knobs}


def check(knobs: Sequence[Knob], values: Knobs, *, space: str) -> None:
    """Check that `values` gives each knob one of its values and nothing else.

    Raises:
        UserError: a knob is missing, unknown or out of range.
    """
    known = {knob.name: knob for knob in knobs}
    if missing := known.keys() - values.keys():
        raise UserError(f"{space}: no value for {', '.join(sorted(missing))}")
    if unknown := values.keys() - known.keys():
        raise UserError(
            f"{space} has no knob {', '.join(sorted(unknown))}; it has {', '.join(known)}"
        )
    for name, value in values.items():
        allowed = known[name].values()
        if value not in allowed:
            wanted = (
                f"{allowed[0]} to {allowed[-1]}"
                if isinstance(known[name], IntKnob)
                else " or ".join(map(str, allowed))
            )
            raise UserError(f"{space}: {name} = {value!r} is out of range; give {wanted}")
