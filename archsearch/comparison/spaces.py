"""Spaces compared as distributions: what studies say of their spaces' errors, pair by pair.

Which figures these are, and why, is said in `archsearch.statistics.distributions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations
from math import prod
from typing import Final

from archsearch.archive.facts import DatasetFacts, StudyFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.errors import UserError
from archsearch.space.registry import find_space
from archsearch.statistics.distributions import (
    Interval,
    KsTest,
    Sample,
    best_of,
    holm,
    interval,
    kolmogorov_smirnov,
    matched,
    median,
    needed,
    quantile,
)
from archsearch.study.catalogue import request_of
from archsearch.units import counted

LEAST: Final = 3
"""Networks without which a study says nothing of its space."""
_LEVEL: Final = 0.05
_MOST_OF: Final = 10
_SEED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """The errors of a study's networks, shares of one on the validation images.

    Attributes:
        n: networks that count.
        outside: networks left out, as others have none of their FLOPs.
        failed: networks without a result.
        stalled: networks that learnt nothing, which count with what guessing gives.
        median: with its interval.
        lower, upper: the quartiles.
        best: error to expect of the best of k.
        worst: the largest.
        steps: error, and the weight of all errors up to it: the EDF.
        settings: combinations of knobs that the space has at the budget; None: not known.
        chosen: why it is no random sample of its space; empty: it is one.
    """

    study: str
    space: str
    n: int
    outside: int
    failed: int
    stalled: int
    median: Interval
    lower: float
    upper: float
    best: Interval
    worst: float
    steps: tuple[tuple[float, float], ...]
    settings: int | None
    chosen: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """Two studies: the one with the smaller median, and the other.

    Attributes:
        test: Kolmogorov and Smirnov's.
        p_adjusted: its p-value, raised for being one of several (Holm).
        median, best: error of the other less that of the one: of the medians, of the best of k.
        needed: networks a space that would mostly tell a difference of medians like this; None: it is told,
            or there is none.
        verdict: what follows, in words.
    """

    one: str
    other: str
    test: KsTest
    p_adjusted: float
    median: Interval
    best: Interval
    needed: int | None
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Distributions:
    """Studies as samples of their spaces.

    Attributes:
        k: of the best of k.
        weighted: whether they are weighted to one distribution of FLOPs.
        members: the smallest median first.
        contrasts: all pairs.
        cautions: what to know besides, one line each.
    """

    k: int
    weighted: bool
    members: tuple[Distribution, ...]
    contrasts: tuple[Contrast, ...]
    cautions: tuple[str, ...]


def distributions(results: Sequence[StudyResult]) -> Distributions | None:
    """Return what studies say of their spaces; None where none has networks enough."""
    able = [result for result in results if len(_counting(result)) >= LEAST]
    if not able:
        return None
    drawn = [_sample(result) for result in able]
    alike = matched(drawn)
    samples = drawn if alike is None else list(alike)
    k = max(1, min(_MOST_OF, min(len(sample.errors) for sample in samples) // 2))
    found = {
        result.study: (_distribution(result, sample, k), sample)
        for result, sample in zip(able, samples, strict=True)
    }
    order = sorted(found, key=lambda name: found[name][0].median.value)
    pairs = [(found[one], found[other]) for one, other in combinations(order, 2)]
    tests = [kolmogorov_smirnov(one[1], other[1], seed=_SEED) for one, other in pairs]
    raised = holm([test.p_value for test in tests]) if tests else ()
    contrasts = (
        _contrast(one, other, test=test, adjusted=adjusted, k=k)
        for (one, other), test, adjusted in zip(pairs, tests, raised, strict=True)
    )
    members = tuple(found[name][0] for name in order)
    return Distributions(
        k=k,
        weighted=alike is not None and any(sample.bins for sample in samples),
        members=members,
        contrasts=tuple(contrasts),
        cautions=tuple(_cautions(members, few=len(results) - len(able), apart=alike is None)),
    )


def _counting(result: StudyResult) -> list[Row]:
    """Return the networks of a search that trained at the full length to their ends, the baseline aside."""
    rows = [row for row in result.rows if row.origin == "search"]
    rows = [row for row in rows if accuracy_of(row, result.dataset) is not None]
    top = max((row.rung for row in rows), default=0)
    return [row for row in rows if row.rung == top]


def accuracy_of(row: Row, dataset: DatasetFacts) -> float | None:
    """Return a trial's accuracy; that of guessing where it diverged: it would be favoured if left out."""
    if row.status == "complete":
        return row.val_accuracy
    return (dataset.common_share or 0.0) if row.status == "failed" and row.stalled else None


def _sample(result: StudyResult) -> Sample:
    rows = sorted(_counting(result), key=lambda row: row.name)
    return Sample(
        errors=tuple(1 - (accuracy_of(row, result.dataset) or 0.0) for row in rows),
        flops=tuple(row.flops for row in rows),
    )


def _distribution(result: StudyResult, sample: Sample, k: int) -> Distribution:
    values, weights = sample.values, sample.weights
    errors, shares = zip(*sorted(zip(sample.errors, weights.tolist(), strict=True)), strict=True)
    return Distribution(
        study=result.study,
        space=result.space,
        n=len(sample.errors),
        outside=len(_counting(result)) - len(sample.errors),
        failed=sum(
            row.origin == "search" and row.status == "failed" and not row.stalled
            for row in result.rows
        ),
        stalled=sum(row.stalled for row in _counting(result)),
        median=interval(median, sample, seed=_SEED),
        lower=float(quantile(0.25)(values, weights)),
        upper=float(quantile(0.75)(values, weights)),
        best=interval(best_of(k), sample, seed=_SEED),
        worst=max(sample.errors),
        steps=tuple(zip(errors, accumulate(shares), strict=True)),
        settings=_combinations(result),
        chosen=_chosen(result),
    )


def _combinations(result: StudyResult) -> int | None:
    """Count the combinations of knobs that a study's space has at its budget; None: not known."""
    if not result.dataset.input:  # an earlier version did not keep it
        return None
    try:
        request = request_of(StudyFacts(settings=result.settings, dataset=result.dataset))
        knobs = find_space(result.space).knobs(request)
    except UserError:  # of a package that is not here
        return None
    return prod(len(knob.values()) for knob in knobs)


def _chosen(result: StudyResult) -> str:
    """Say why a study's networks are no random sample of its space; empty: they are."""
    reasons = []
    if result.settings.sampler != "random":
        reasons.append(f"its networks were chosen by the sampler {result.settings.sampler}")
    if any(row.rung for row in result.rows):
        reasons.append("only the best of short trainings trained in full")
    stopped = sum(row.status == "pruned" for row in result.rows)
    if stopped:
        reasons.append(f"{counted(stopped, 'training')} that seemed hopeless stopped early")
    return " and ".join(reasons)


def _contrast(
    one: tuple[Distribution, Sample],
    other: tuple[Distribution, Sample],
    *,
    test: KsTest,
    adjusted: float,
    k: int,
) -> Contrast:
    """Compare two samples; the one has the smaller median."""
    middle = interval(median, other[1], one[1], seed=_SEED)
    told = adjusted < _LEVEL
    wanted = None if told else needed(middle, [one[0].n, other[0].n])
    return Contrast(
        one=one[0].study,
        other=other[0].study,
        test=test,
        p_adjusted=adjusted,
        median=middle,
        best=interval(best_of(k), other[1], one[1], seed=_SEED),
        needed=wanted,
        verdict=_verdict(one[0], other[0], told=told, middle=middle, wanted=wanted),
    )


def _verdict(
    one: Distribution, other: Distribution, *, told: bool, middle: Interval, wanted: int | None
) -> str:
    if told and middle.tells:
        return f"{one.study} errs less"
    if told:
        return "they differ, the medians do not clearly"
    if wanted is None:
        return "no verdict: the medians are equal"
    if wanted <= one.n:
        return "no verdict: the medians differ, the distributions as a whole do not clearly"
    if any(wanted > (each.settings or wanted) for each in (one, other)):
        return "no verdict; at this budget there are too few networks to tell such a difference"
    return f"no verdict; about {wanted:,} networks a space would mostly tell such a difference"


def _cautions(members: Sequence[Distribution], *, few: int, apart: bool) -> list[str]:
    found = [
        f"{one.study} is no random sample of its space: {one.chosen}; its figures say what was tried"
        for one in members
        if one.chosen
    ]
    found += [
        f"{one.study}: {counted(one.failed, 'network')} failed, which is left out"
        for one in members
        if one.failed
    ]
    found += [
        f"{one.study}: {counted(one.stalled, 'network')} learnt nothing, which is taken for guessing"
        for one in members
        if one.stalled
    ]
    found += [
        f"{one.study}: {one.n} of the {one.settings} settings that its space has at this budget"
        for one in members
        if one.settings is not None and one.n > one.settings / 2
    ]
    found += [
        f"{one.study}: {counted(one.outside, 'network')} left out, of FLOPs that others have too few of"
        for one in members
        if one.outside
    ]
    if apart:
        found.append("their FLOPs hardly overlap: what differs may be the budgets, not the spaces")
    if few:
        who = "1 study has" if few == 1 else f"{few} studies have"
        found.append(f"{who} fewer than {LEAST} networks, too few for a line here")
    return found
