"""The networks of a study: the table of all, where they depart from rules, what was pruned and why."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.report.columns import columns, legend, score_text, without_guesses
from archsearch.report.page.chart import Block, Cell, Numbers, Passage, Section, cells, percent
from archsearch.report.page.material import Material
from archsearch.units import counted, format_count, ms_text

_SORTED_BY: Final[dict[str, Callable[[Row], float | None]]] = {
    "": lambda row: row.rank,
    "FLOPs": lambda row: row.flops,
    "params": lambda row: row.params,
    "spent": lambda row: row.train_flops,
    "val again %": lambda row: None if row.final_val is None else row.final_val.mean,
    "test %": lambda row: None if row.test is None else row.test.mean,
    "ms": lambda row: row.latency_ms,
}
"""What a column is sorted by where its text does not begin with the figure itself."""

FACTS: Final = (
    "name", "role", "place", "FLOPs", "parameters", "activation memory",
    "validation accuracy in the search", "validation accuracy, trained anew", "test accuracy",
    "latency", "status", "follows the freed rules", "training FLOPs", "graph",
)  # fmt: skip
"""What a page says of one network."""


_MOST: Final = 200
"""Departures from rules, and trainings that were cut short, which are listed."""


def networks(result: StudyResult, *, of: StudyResult) -> Section:
    """Return the table of the networks that are shown, of all those of a study, best first."""
    full = result.training is not None
    shown = columns(result.rows, reasons=True, full=full)
    table = Numbers(
        title="All networks" if len(result.rows) == len(of.rows) else "Networks",
        heads=tuple(f">{c.head or 'place'}" if c.right else c.head for c in shown),
        rows=tuple(
            tuple(Cell(c.cell(row), _sorted_by(c.head, c.cell(row), row)) for c in shown)
            for row in map(without_guesses, result.rows)
        ),
        names=tuple(row.name for row in result.rows),
        sortable=True,
    )
    meanings = legend(shown, result.rows)
    lines = (f"{meanings[0].upper()}{meanings[1:]}.",) if meanings and not full else ()
    return Section(
        key="networks", title="Networks", blocks=(*([Passage(lines=lines)] if lines else []), table)
    )


def _sorted_by(head: str, text: str, row: Row) -> float | None:
    if head in _SORTED_BY:
        return _SORTED_BY[head](row)
    try:
        return float(text.rstrip("%").replace(",", ""))
    except ValueError:
        return None


def rule_check(result: StudyResult) -> Section | None:
    """Return where networks depart from the design rules of their space; None: nobody has looked."""
    looked = [row for row in result.rows if row.findings is not None]
    if not looked:
        return None
    found = [(row, one) for row in looked for one in row.findings or ()]
    if not found:
        return _rules(
            Passage(lines=(f"All {len(looked)} networks follow every rule of their space.",))
        )
    kept = len({row.name for row, _ in found})
    return _rules(
        Passage(
            lines=(
                f"{kept} of {counted(len(looked), 'network')} depart from a rule.{_first(found)}",
            )
        ),
        Numbers(
            title="Departures from design rules",
            heads=("network", "role", "rule", "what is there"),
            rows=tuple(
                cells(row.label, row.part, one.rule, one.message) for row, one in found[:_MOST]
            ),
            names=tuple(row.name for row, _ in found[:_MOST]),
        ),
    )


def _first(found: Sequence[object]) -> str:
    """Say that a table has the first ones only; empty: it has all."""
    return f" The table has the first {_MOST} of {len(found):,}." if len(found) > _MOST else ""


def _rules(*blocks: Block) -> Section:
    return Section(key="rules", title="Design rules", blocks=blocks)


def cut_short(result: StudyResult) -> Section | None:
    """Return what was pruned, failed or stalled, and why; None: nothing was."""
    rows = [r for r in result.rows if r.status in ("pruned", "failed") or r.stalled or r.lost]
    if not rows:
        return None
    counts = Counter("stalled" if row.stalled else row.status for row in rows)
    told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
    return Section(
        key="pruned",
        title="Cut short",
        blocks=(
            Passage(lines=(f"{told}, of {counted(len(result.rows), 'network')}.{_first(rows)}",)),
            Numbers(
                title="Trainings that did not come to their end, or learnt nothing",
                heads=("network", "how it ended", "why", ">epochs", ">val %", ">training FLOPs"),
                rows=tuple(
                    cells(
                        row.label,
                        "stalled" if row.stalled else row.status,
                        row.reason or row.lost_why,
                        row.epochs,
                        percent(without_guesses(row).val_accuracy),
                        Cell(format_count(row.train_flops), row.train_flops),
                    )
                    for row in rows[:_MOST]
                ),
                names=tuple(row.name for row in rows[:_MOST]),
            ),
        ),
    )


def details(material: Material) -> list[dict[str, Any]]:
    """Return all that is known of each network, as JSON values: what a page shows of one."""
    return [
        {
            "name": row.name,
            "label": row.label,
            "facts": _facts(without_guesses(row)),
            "knobs": [[name, str(value)] for name, value in row.knobs.items()],
            "findings": [f"{one.rule}: {one.message}" for one in row.findings or ()],
            "stages": _stages(material, row.name),
        }
        for row in material.shown.rows
    ]


def _facts(row: Row) -> list[str]:
    """Return what `FACTS` names of a network, as texts; empty where there is nothing."""
    accuracy = "" if row.val_accuracy is None else f"{100 * row.val_accuracy:.2f} %"
    ms = ms_text(row.latency_ms)
    return [
        row.name,
        row.part,
        "" if row.rank is None else str(row.rank),
        f"{row.flops:,} ({row.fill:.1%} of the budget)",
        f"{row.params:,}",
        f"{row.activation_bytes / 2**10:,.0f} KB an image",
        accuracy,
        f"{score_text(row.final_val)} %" if row.final_val else "",
        f"{score_text(row.test)} % (n = {row.test.n})" if row.test else "",
        f"{ms} ms a call of one image" if ms else "",
        f"{row.status}: {row.reason}" if row.reason else row.status,
        ", ".join(row.obeys),
        format_count(row.train_flops) if row.train_flops else "",
        row.graph,
    ]


def _stages(material: Material, name: str) -> list[list[str]]:
    profile = material.profiles.get(name)
    if profile is None:
        return []
    return [
        [bar.label, f"{bar.activation_bytes:,}", f"{bar.params:,}", f"{bar.flops:,}"]
        for bar in profile.bars
    ]
