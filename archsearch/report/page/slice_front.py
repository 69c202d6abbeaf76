"""The front of a study of several budgets: the best network of each beside its classic, and the knee."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.report.columns import score_text
from archsearch.report.fronts import LEGEND, FrontLine, front_lines
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Passage,
    Section,
    Spec,
    axis,
    brushing,
    cells,
    faded,
    percent,
    picking,
    spec_of,
    tips,
)
from archsearch.statistics.verdict import probability_text
from archsearch.units import format_count

_KINDS: Final = ("best of its budget", "matched baseline")


def slice_front(result: StudyResult) -> Section | None:
    """Return the part about a study's budgets; None: it has one, or none has a best network yet."""
    lines = [line for line in front_lines(result) if line.best is not None]
    if not lines:
        return None
    told = f"{LEGEND[0].upper()}{LEGEND[1:]}."
    return Section(key="budgets", title="Budgets", blocks=(_chart(lines), Passage(lines=(told,))))


def _chart(lines: Sequence[FrontLine]) -> Chart:
    knee = next((line for line in lines if line.place == "knee"), None)
    bend = "There is no knee." if knee is None else f"The knee is at {knee.budget}."
    return Chart(
        key="front",
        title="The best of each budget beside its matched baseline",
        summary=f"Expected validation accuracy against FLOPs at {len(lines)} budgets. {bend}",
        spec=_drawn([value for line in lines for value in _values(line)]),
        numbers=_numbers(lines),
        note="The line joins the front: networks that none of a smaller budget is as accurate as.",
    )


def _values(line: FrontLine) -> Iterator[dict[str, Any]]:
    """Yield the points of a budget: its best network and its classic, if that is another one."""
    rows: list[tuple[str, Row | None]] = [(_KINDS[0], line.best)]
    rows += [(_KINDS[1], line.classic)] if line.classic is not line.best else []
    for kind, row in rows:
        if row is not None and row.expected is not None:
            yield {
                "name": row.name,
                "label": row.label,
                "kind": kind,
                "budget": line.budget,
                "flops": row.flops,
                "accuracy": round(100 * row.expected, 3),
                "front": kind == _KINDS[0] and line.place in ("front", "knee"),
                "mark": "knee" if kind == _KINDS[0] and line.place == "knee" else "",
            }


def _drawn(values: Sequence[dict[str, Any]]) -> Spec:
    across = axis(
        "flops",
        "FLOPs (multiply-adds) of one image",
        axis={"format": "~s"},
        scale={"type": "log", "nice": False},
    )
    up = axis("accuracy", "expected validation accuracy, %")
    kind = {
        "field": "kind", "type": "nominal", "scale": {"domain": list(_KINDS)},
        "legend": {"orient": "top", "title": None},
    }  # fmt: skip
    return spec_of(
        values,
        params=picking(),
        layer=[
            {
                "transform": [{"filter": "datum.front"}],
                "mark": {"type": "line", "color": "var(--soft)", "aria": False},
                "encoding": {"x": across, "y": up},
            },
            {
                "params": [brushing()],
                "mark": {"type": "point", "filled": True, "size": 120, "cursor": "pointer"},
                "encoding": {
                    "x": across, "y": up, "color": kind, "shape": kind, "opacity": faded(0.9),
                    "tooltip": tips(
                        ("label", "network"), ("kind", "kind"), ("budget", "budget"),
                        ("accuracy", "expected accuracy, %", ".2f"), ("flops", "FLOPs", ".3~s"),
                    ),
                },
            },
            {
                "transform": [{"filter": "datum.mark !== ''"}],
                "mark": {"type": "text", "dy": -16, "fontSize": 12, "aria": False},
                "encoding": {"x": across, "y": up, "text": {"field": "mark"}},
            },
        ],
    )  # fmt: skip


def _numbers(lines: Sequence[FrontLine]) -> Numbers:
    return Numbers(
        title="Budgets in numbers",
        heads=("budget", "best", ">FLOPs", ">parameters", ">expected, %", ">test, %",
               "matched baseline", ">its expected, %", ">its test, %", ">gain", "P(better)", "front"),
        rows=tuple(_row(line) for line in lines),
        names=tuple(line.best.name for line in lines if line.best is not None),
    )  # fmt: skip


def _row(line: FrontLine) -> tuple[Cell, ...]:
    best, other = line.best, line.classic if line.classic is not line.best else None
    assert best is not None
    chance = None if line.probability is None else probability_text(line.probability)
    return cells(
        line.budget,
        f"{best.label} (matched)" if best is line.classic else best.label,
        Cell(format_count(best.flops), best.flops),
        Cell(format_count(best.params), best.params),
        percent(best.expected),
        score_text(best.test),
        None if other is None else other.label,
        percent(None if other is None else other.expected),
        score_text(None if other is None else other.test),
        None if line.gain is None else Cell(f"{line.gain:+.1f}", line.gain),
        None if chance is None else chance.removeprefix("= "),
        line.place,
    )
