"""The front of a study of several budgets: the best network of each beside its classic, and the knee."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.table import Table

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.report.columns import score_text
from archsearch.report.tables import new_table
from archsearch.statistics.verdict import probability_text
from archsearch.units import as_markdown, format_count

_HEADS = (
    ">budget", "best", ">FLOPs", ">params", ">expected %", ">test %", ">n", "matched baseline", ">test %",
    ">gain", "P(better)", "front",
)  # fmt: skip
_SPARE = ("params", "FLOPs", "n", "matched baseline", "P(better)")
LEGEND = (
    "front: no network of a smaller budget is expected to be as accurate; knee: where more FLOPs begin "
    "to pay little, the point of the front that is farthest above the chord between its ends, over the "
    "logarithm of FLOPs; gain: expected validation accuracy over the matched baseline's, in points"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLine:
    """One of several budgets: its best network beside its matched baseline.

    Attributes:
        budget: as it is written.
        best: None before the finals.
        classic: the best matched baseline; None: there is none.
        gain: expected validation accuracy of the best over the classic's, in points; None: it is the classic.
        probability: that it is truly better, likewise.
        place: `knee`, `front`, or `dominated`; empty before the finals.
    """

    budget: str
    best: Row | None = None
    classic: Row | None = None
    gain: float | None = None
    probability: float | None = None
    place: str = ""


def front_lines(result: StudyResult) -> tuple[FrontLine, ...]:
    """Return a study's budgets, the smallest first; none where it has one."""
    rows = {row.name: row for row in result.rows}
    found = []
    for one in result.slices:
        known = one.verdict if one.best != one.classic else None
        verdict = known if known is not None and known.baseline else None
        place = "knee" if one.knee else "front" if one.front else "dominated"
        found.append(
            FrontLine(
                budget=one.text,
                best=rows.get(one.best or ""),
                classic=rows.get(one.classic or ""),
                gain=None if verdict is None else verdict.gain,
                probability=None if verdict is None else verdict.probability,
                place="" if one.best is None else place,
            )
        )
    return tuple(found)


def front_table(result: StudyResult) -> Table:
    """Return the table of the budgets of a study."""
    table = new_table(*_HEADS, spare=_SPARE)
    for line in front_lines(result):
        bold = line.best is not None and line.best.winner
        table.add_row(*_cells(line), style="bold" if bold else None)
    table.caption = LEGEND
    return table


def front_markdown(result: StudyResult) -> str:
    """Return the same as Markdown."""
    marks = ("--:" if head.startswith(">") else "---" for head in _HEADS)
    lines = [_line(head.lstrip(">") for head in _HEADS), f"|{'|'.join(marks)}|"]
    lines += [_line(map(as_markdown, _cells(line))) for line in front_lines(result)]
    return "\n".join([*lines, "", f"{as_markdown(LEGEND)}."])


def _cells(line: FrontLine) -> list[str]:
    best, classic = line.best, line.classic
    if best is None:
        return [line.budget, *[""] * (len(_HEADS) - 1)]
    label = f"{best.label} (matched)" if best is classic else best.label
    other = None if best is classic else classic
    chance = (
        "" if line.probability is None else probability_text(line.probability).removeprefix("= ")
    )
    return [
        line.budget,
        label,
        format_count(best.flops),
        format_count(best.params),
        _percent(best).removesuffix(" %"),
        score_text(best.test),
        str(best.test.n) if best.test else "",
        "" if other is None else other.label,
        score_text(None if other is None else other.test),
        "" if line.gain is None else f"{line.gain:+.1f}",
        chance,
        line.place,
    ]


def _percent(row: Row) -> str:
    return "" if row.expected is None else f"{100 * row.expected:.1f} %"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
