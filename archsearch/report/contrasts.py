"""Comparisons for the terminal: spaces as distributions."""

from collections.abc import Sequence

from rich.console import RenderableType

from archsearch.comparison.spaces import Distribution, Distributions
from archsearch.report.tables import new_table
from archsearch.statistics.distributions import Interval


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
        "errs less", "than", ">median", f">best of {found.k}", ">KS", ">p", "verdict",
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
