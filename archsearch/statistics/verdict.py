"""What a study shows, in a sentence with its probability; and what speaks against believing it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from archsearch.statistics.majority import DEVIATIONS, accuracy_by_chance

SURE: Final = 0.95
"""Probability from which on one network is called better than another;"""
PROBABLE: Final = 0.80
"""and from which on probably better."""
_LEAST_RISE: Final = 0.01
"""Accuracy that a curve must have gained in its last quarter to be still rising."""
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A network of a comparison.

    Attributes:
        label: the design in a few words.
        n: trainings it is judged by.
        matched: whether it is the matched baseline.
        val: mean validation accuracy of these trainings.
    """

    label: str
    n: int
    matched: bool
    val: float

    @property
    def text(self) -> str:
        """The network in a sentence."""
        return f"the matched {self.label}" if self.matched else self.label


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a study shows of its winner.

    Attributes:
        winner: its label.
        rival: what it is compared with: the matched baseline, or the best of the others where there is none
            or it has won itself.
        baseline: whether one of the two is the matched baseline.
        gain: expected true validation accuracy of the winner over its rival's, in points of a hundred.
        probability: that the winner is truly better.
        n, rival_n: trainings that each is judged by, that of the search among them.
        words: all of it in a sentence.
        ties: labels of retrained networks that are not told apart from the winner.
        cautions: what speaks against believing it, a sentence each.
    """

    winner: str
    rival: str
    baseline: bool
    gain: float
    probability: float
    n: int
    rival_n: int
    words: str
    ties: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """Everything a person should read, a whole sentence each."""
        tied = ties_text(self.ties)
        others = [line for line in (tied, *self.cautions) if line]
        return (f"Verdict: {self.words}.", *(f"{line[0].upper()}{line[1:]}." for line in others))


def verdict(
    winner: Contender,
    rival: Contender,
    *,
    gain: float,
    probability: float,
    ties: Sequence[str] = (),
    cautions: Sequence[str] = (),
    untrained: str = "",
) -> Verdict:
    """Return the verdict on a winner.

    Args:
        winner: of the study.
        rival: what it is compared with.
        gain: expected accuracy of the winner over the rival's, a share of one.
        probability: that it is truly better.
        ties: labels of those that are not told apart from the winner.
        cautions: what speaks against believing it.
        untrained: says that one of the two is at chance level, so that they are not to be compared; empty:
            they are.
    """
    words = untrained or _compared(winner, rival, gain=gain, probability=probability)
    return Verdict(
        winner=winner.label,
        rival=rival.label,
        baseline=winner.matched or rival.matched,
        gain=100 * gain,
        probability=probability,
        n=winner.n,
        rival_n=rival.n,
        words=words,
        ties=tuple(ties),
        cautions=tuple(cautions),
    )


def how_much(probability: float) -> str:
    """Return in a word or two how one network compares with another; empty: no difference is shown."""
    if probability >= SURE:
        return "better"
    if probability >= PROBABLE:
        return "probably better"
    if probability <= 1 - SURE:
        return "worse"
    return "probably worse" if probability <= 1 - PROBABLE else ""


def _compared(winner: Contender, rival: Contender, *, gain: float, probability: float) -> str:
    if winner.matched:
        # Said of the other: what was searched for is what a person wants to hear of.
        found, gain, probability = rival, -gain, 1 - probability
        judged = _judged(found, winner, gain, probability)
        return f"the search found nothing better than {winner.text}: {judged}"
    return _judged(winner, rival, gain, probability)


def _judged(one: Contender, other: Contender, gain: float, probability: float) -> str:
    facts = f"P {probability_text(probability)}, n = {one.n} and {other.n} trainings"
    word = how_much(probability)
    if not word:
        return (
            f"no difference between {one.text} and {other.text} is shown ({100 * gain:+.1f} points, "
            f"{facts})"
        )
    return f"{one.text} is {word} than {other.text} by {100 * abs(gain):.1f} points, {facts}"


def probability_text(probability: float) -> str:
    """Return a probability with two digits and its sign, `= 0.87`; never a certainty."""
    if probability > 0.99:
        return "> 0.99"
    return "< 0.01" if probability < 0.01 else f"= {probability:.2f}"


def ties_text(labels: Sequence[str]) -> str:
    """Name the networks that are not told apart from the winner; empty: there are none."""
    if not labels:
        return ""
    more = len(labels) - _MOST_NAMED
    named = [*labels[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
    whole = named[0] if len(named) == 1 else f"{', '.join(named[:-1])} and {named[-1]}"
    return f"not told apart from the winner: {whole}"


def is_untrained(accuracy: float, *, common: float, images: int) -> bool:
    """Whether an accuracy is no more than that of naming one class always.

    Args:
        accuracy: of a network.
        common: share of the most common class.
        images: that were asked about; 0: not known, and nothing can be said.
    """
    if not images:
        return False
    return accuracy <= accuracy_by_chance(common, images)


def untrained_text(one: Contender, *, common: float) -> str:
    """Say that a network is at chance level."""
    return (
        f"{one.text} is untrained: {100 * one.val:.1f} % of the validation images, where naming the most "
        f"common class gives {100 * common:.1f} %; it is no comparison"
    )


def undertrained(curves: Sequence[Mapping[int, float]], *, images: int) -> str:
    """Say that networks still became better as their trainings ended; empty: they did not.

    It is the mean gain in the last quarter of their epochs that counts: at least a point, and more than the
    noise of the validation images, of which half is in both ends of a curve.

    Args:
        curves: validation accuracy by 1-based epoch, of each network.
        images: that validate; 0: not known.
    """
    gains, variances = [], []
    for curve in curves:
        last = max(curve, default=0)
        before = [epoch for epoch in curve if epoch <= 0.75 * last]
        if last < 4 or not before:
            continue
        start, end = curve[max(before)], curve[last]
        gains.append(end - start)
        variances.append(end * (1 - end) / images if images else 0.0)
    if not gains:
        return ""
    rise = sum(gains) / len(gains)
    if rise < max(_LEAST_RISE, DEVIATIONS * math.sqrt(sum(variances)) / len(gains)):
        return ""
    return (
        f"undertrained: validation accuracy still rose by {100 * rise:.1f} points in the last quarter of the "
        "epochs; with more --epochs another network may win"
    )
