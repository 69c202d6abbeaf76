"""Comparisons for the terminal: spaces as distributions, what design rules are worth."""

import math
from collections.abc import Sequence

from rich.console import RenderableType

from archsearch.comparison.ablation import Ablation, Ablations
from archsearch.comparison.spaces import Distribution, Distributions
from archsearch.report.tables import new_table
from archsearch.statistics.distributions import Interval
from archsearch.statistics.sequential import Answer, Effect


def distributions(found: Distributions) -> tuple[RenderableType, ...]:
    """Return the table of studies as distributions, and that of their pairs."""
    pairs = (_pairs(found),) if found.contrasts else ()
    return (_members(found), *pairs)


def _members(found: Distributions) -> RenderableType:
    """Return a row for each study: what its networks' errors are like."""
    table = new_table(
        "study", "space", ">n", f">best of {found.k}", ">best quarter", ">median", ">worst quarter",
        ">worst", spare=("worst", "best quarter", "worst quarter", "space"),
    )  # fmt: skip
    for one in found.members:
        table.add_row(*_cells(one))
    lines = [
        "error in % of the validation images, with 95 % intervals by bootstrap; "
        f"best of {found.k}: of so many networks drawn by chance",
        *(["weighted to one distribution of FLOPs"] if found.weighted else []),
        *found.cautions,
    ]
    table.caption = "\n".join(lines)
    return table


def _cells(one: Distribution) -> Sequence[str]:
    return (
        f"{one.study}*" if one.chosen else one.study,
        one.space,
        str(one.n),
        _points(one.best),
        f"{100 * one.lower:.1f}",
        _points(one.median),
        f"{100 * one.upper:.1f}",
        f"{100 * one.worst:.1f}",
    )


def _pairs(found: Distributions) -> RenderableType:
    """Return a row for each pair of studies, the one with the smaller median first."""
    table = new_table(
        "smaller median", "than", ">by", f">best of {found.k}", ">KS", ">p", "verdict",
        spare=("KS", f"best of {found.k}"),
    )  # fmt: skip
    for pair in found.contrasts:
        table.add_row(
            pair.one,
            pair.other,
            _points(pair.median),
            _points(pair.best),
            f"{pair.test.statistic:.2f}",
            p_text(pair.p_adjusted),
            pair.verdict,
        )
    several = " raised for being one of several (Holm)" if len(found.contrasts) > 1 else ""
    table.caption = (
        "by how many points of error, with 95 % intervals; KS: largest distance of the two distribution "
        f"functions; p: of one as large between two draws of one space,{several or ' Kolmogorov and Smirnov'}"
    )
    return table


def p_text(p_value: float) -> str:
    """Return a p-value with two digits that count."""
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"


def _points(found: Interval) -> str:
    """Return a share with its interval in points of a hundred."""
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


# --- what rules are worth --------------------------------------------------------------------------


def ablations(found: Ablations) -> RenderableType:
    """Return a row for each rule: what it brings, and whether that is an answer."""
    table = new_table(
        "rule", ">points", ">95 %", ">pairs", ">better held / freed", ">FLOPs freed / held", "answer",
        "study", spare=("study", "FLOPs freed / held", "better held / freed"),
    )  # fmt: skip
    for one in found.ablations:
        table.add_row(
            one.rule,
            "" if one.effect.mean is None else f"{one.effect.mean:+.1f}",
            _bounds(one.effect),
            str(one.effect.n),
            f"{one.held_better} / {one.freed_better}",
            "" if one.flops_ratio is None else f"{one.flops_ratio:.3f}",
            answer_text(one),
            one.study,
        )
    lines = [
        f"points: validation accuracy of {found.space} at {found.budget} FLOPs with the rule held, less that "
        "of the same knobs with it freed; the intervals hold however often one has looked",
        *(f"{one.rule}: {_stalled(one)}" for one in found.ablations if any(one.stalled)),
        *(f"{one.rule}: {one.lost} pairs lack an accuracy" for one in found.ablations if one.lost),
        *(f"{rule} was not freed: {why}" for rule, why in found.unfreed.items()),
    ]
    if len(found.ablations) > 1:
        lines.append("each interval stands for itself: of twenty rules one may be missed")
    table.caption = "\n".join(lines)
    return table


def answer_text(one: Ablation) -> str:
    """Say what is known of a rule, or how many pairs it would take."""
    if not one.effect.answer.is_open:
        within = f" (within {one.effect.margin:g})" if one.effect.answer is Answer.LITTLE else ""
        return f"{one.effect.answer.value}{within}"
    if one.needed is None:
        return "open"
    return f"open; about {one.needed:,} pairs would answer"


def _bounds(found: Effect) -> str:
    return f"{found.low:.1f} to {found.high:.1f}" if math.isfinite(found.low) else "any"


def _stalled(one: Ablation) -> str:
    held, freed = one.stalled
    return f"{held} networks that keep it learnt nothing, {freed} that break it"
