"""What a study has spent: training FLOPs by stage, time, and how much of it was training."""

from archsearch.archive.leaderboard import StudyResult
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Passage,
    Section,
    axis,
    cells,
    percent,
    spec_of,
    tips,
)
from archsearch.units import counted, format_count, format_duration


def compute_spent(result: StudyResult) -> Section | None:
    """Return the part about what was spent; None where nothing is known of it."""
    spent = result.spending
    if not spent.total:
        return None
    rungs = len(spent.search) > 1
    stages = [
        *((f"search, rung {n}" if rungs else "search", flops) for n, flops in enumerate(spent.search)),
        ("finals", spent.finals),
        ("baselines", spent.baselines),
        ("measuring the pace", spent.measuring),
    ]  # fmt: skip
    shown = [(name, flops) for name, flops in stages if flops]
    trainings = sum(row.trainings for row in result.rows)
    return Section(
        key="compute",
        title="Compute spent",
        blocks=(
            Passage(
                lines=(
                    f"{format_count(spent.total)} training FLOPs in {counted(trainings, 'training')} of "
                    f"{counted(len(result.rows), 'network')}, {format_duration(result.wall_s)}; "
                    f"{100 * result.training_share:.0f} % of the workers' time in training steps.",
                )
            ),
            _chart(shown, spent.total),
        ),
    )


def _chart(shown: list[tuple[str, int]], total: int) -> Chart:
    values = [{"stage": name, "flops": flops, "share": flops / total} for name, flops in shown]
    most = max(shown, key=lambda one: one[1])
    return Chart(
        key="spending",
        title="Training FLOPs by stage",
        summary=f"Most went into {most[0]}: {100 * most[1] / total:.0f} %.",
        spec=spec_of(
            values,
            height=30 * len(values),
            mark={"type": "bar"},
            encoding={
                "y": {
                    "field": "stage", "type": "nominal", "sort": [name for name, _ in shown],
                    "title": None,
                },
                "x": axis("flops", "training FLOPs", axis={"format": "~s"}, scale={"zero": True}),
                "tooltip": tips(
                    ("stage", "stage"), ("flops", "training FLOPs", ".3~s"), ("share", "share", ".1%")
                ),
            },
        ),
        numbers=Numbers(
            title="Compute in numbers",
            heads=("stage", ">training FLOPs", ">share, %"),
            rows=tuple(
                cells(name, Cell(format_count(flops), flops), percent(flops / total))
                for name, flops in (*shown, ("all", total))
            ),
        ),
        note="One multiply-add is one FLOP; a training step takes three forward passes' worth.",
    )  # fmt: skip
