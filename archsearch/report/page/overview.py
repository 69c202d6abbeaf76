"""Several studies side by side: their best, the classics at equal FLOPs, and what makes it unfair."""

from collections.abc import Sequence
from typing import Any

from archsearch.archive.leaderboard import StudyResult
from archsearch.report.analysis import Standing, compare
from archsearch.report.columns import score_text
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Passage,
    Section,
    Spec,
    axis,
    cells,
    percent,
    spec_of,
    tips,
)
from archsearch.report.page.edf import error_distribution
from archsearch.units import format_count


def side_by_side(results: Sequence[StudyResult]) -> tuple[Section, ...]:
    """Return the part that compares studies, and says what keeps them from being compared fairly."""
    comparison = compare(results)
    blocks: list[Any] = [_table(comparison.standings), _chart(comparison.standings)]
    edf = error_distribution(results)
    if comparison.cautions:
        blocks.insert(0, Passage(lines=tuple(sentence(line) for line in comparison.cautions)))
    if edf is not None:
        blocks.append(edf)
    found = [block for block in blocks if block is not None]
    return (Section(key="overview", title="Side by side", blocks=tuple(found)),)


def _table(standings: Sequence[Standing]) -> Numbers:
    return Numbers(
        title="The best of each study, and the classic at equal FLOPs",
        heads=("study", "data", "budget", "best", ">FLOPs", ">params", ">val %", ">test %",
               "matched baseline", ">its test %", ">gain", "verdict"),
        rows=tuple(
            cells(
                one.study, one.data, one.budget, one.best,
                Cell(format_count(one.flops), one.flops) if one.flops else None,
                Cell(format_count(one.params), one.params) if one.params else None,
                Cell(score_text(one.val), one.val.mean if one.val else None),
                Cell(score_text(one.test), one.test.mean if one.test else None),
                one.baseline,
                Cell(score_text(one.baseline_test)),
                None if one.gain is None else Cell(f"{one.gain:+.1f}", one.gain),
                one.verdict,
            )
            for one in standings
        ),
        sortable=True,
    )  # fmt: skip


def _chart(standings: Sequence[Standing]) -> Chart | None:
    values: list[dict[str, Any]] = [
        {
            "study": one.study,
            "network": label,
            "kind": kind,
            "accuracy": round(100 * score.mean, 3),
            "n": score.n,
        }
        for one in standings
        for kind, label, score in (
            ("best", one.best, one.test or one.val),
            ("matched baseline", one.baseline, one.baseline_test or one.baseline_val),
        )
        if score is not None
    ]
    if not values:
        return None
    return Chart(
        key="standings",
        title="Test accuracy of the best and of the matched baseline",
        summary=f"One row for each of {len(standings)} studies.",
        spec=_dots(values, [one.study for one in standings]),
        numbers=Numbers(
            title="Accuracies in numbers",
            heads=("study", "kind", "network", ">accuracy, %", ">n"),
            rows=tuple(
                cells(v["study"], v["kind"], v["network"], percent(v["accuracy"] / 100), v["n"])
                for v in values
            ),
        ),
    )


def _dots(values: Sequence[dict[str, Any]], studies: Sequence[str]) -> Spec:
    kind = {"field": "kind", "type": "nominal", "legend": {"orient": "top", "title": None}}
    return spec_of(
        values,
        height=34 * len(studies),
        mark={"type": "point", "filled": True, "size": 130},
        encoding={
            "y": {"field": "study", "type": "nominal", "title": None, "sort": list(studies)},
            "x": axis("accuracy", "test accuracy, % (validation where not tested yet)"),
            "color": kind,
            "shape": kind,
            "tooltip": tips(
                ("study", "study"),
                ("network", "network"),
                ("kind", "kind"),
                ("accuracy", "accuracy, %", ".2f"),
                ("n", "trainings", "d"),
            ),
        },
    )


def sentence(text: str) -> str:
    """Return a line as a sentence; empty where there is none."""
    return f"{text[0].upper()}{text[1:]}." if text else ""
