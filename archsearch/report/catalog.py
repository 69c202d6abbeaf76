"""What is installed, as rows: spaces with the budgets they reach, baselines with their costs, rules."""

from collections.abc import Iterable, Mapping
from typing import Any

from archsearch.readings.cost import cost
from archsearch.rules import audit
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Budget, Request
from archsearch.space.space import Space
from archsearch.units import format_count

_SMALL = ((32, 32, 3), 10)
_LARGE = ((224, 224, 3), 1000)


def space_rows(spaces: Mapping[str, Space]) -> list[dict[str, Any]]:
    """Return a row for each space; `reach` is the smallest and largest budget in FLOPs."""
    rows = []
    for space in spaces.values():
        reach = {}
        for size, classes in (_SMALL, _LARGE):
            # The reach does not depend on the budget, which a Request must name all the same.
            request = Request(size, classes, Budget.cap(1, size))
            reach[f"{size[0]}x{size[1]}"] = list(space.reach(request))
        knobs = space.tiers(Request(*_LARGE, Budget.cap(1, _LARGE[0])))[-1]
        rows.append(
            {
                "name": space.name,
                "title": space.title,
                "rules": list(space.rules),
                "relaxable": sorted(space.relaxable),
                "knobs": [knob.name for knob in knobs],
                "reach": reach,
            }
        )
    return rows


def baseline_rows(baselines: Mapping[str, Baseline]) -> list[dict[str, Any]]:
    """Return a row for each baseline, at its published image size and class count."""
    rows = []
    for baseline in baselines.values():
        total = cost(baseline.build())
        rows.append(
            {
                "name": baseline.name,
                "title": baseline.title,
                "input": list(baseline.input),
                "classes": baseline.classes,
                "flops": total.flops,
                "params": total.params,
                "source": baseline.source,
            }
        )
    return rows


def rule_rows(spaces: Mapping[str, Space]) -> list[dict[str, Any]]:
    """Return a row for each rule: what it says, the spaces that hold it, and where it can be freed.

    `unfreed` says for the spaces that hold a rule and cannot free it why not.
    """
    rows = []
    for row in audit.rule_rows():
        rule = row["name"]
        holding = [space for space in spaces.values() if rule in space.rules]
        rows.append(
            {
                **row,
                "held_by": [space.name for space in holding],
                "freed_in": [space.name for space in holding if rule in space.relaxable],
                "unfreed": {s.name: s.unfreed[rule] for s in holding if rule in s.unfreed},
            }
        )
    return rows


def spaces_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the spaces as the README's table."""
    lines = [
        "| space | what it is | knobs | rules held (`--relax` frees those in italics) "
        "| budgets at 32×32 | at 224×224 |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        reach = [
            f"{format_count(low)} to {format_count(high)}" for low, high in row["reach"].values()
        ]
        knobs = ", ".join(row["knobs"])
        free = row["relaxable"]
        rules = ", ".join(f"*{rule}*" if rule in free else rule for rule in row["rules"]) or "–"
        lines.append(
            f"| `{row['name']}` | {row['title']} | {knobs} | {rules} | {reach[0]} | {reach[1]} |"
        )
    return "\n".join(lines)


def rules_markdown(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the rules as the README's table."""
    lines = [
        "| rule | what it says | tolerance | source | held by (`--relax` frees it in those in italics) |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        held = ", ".join(f"*{s}*" if s in row["freed_in"] else s for s in row["held_by"]) or "–"
        lines.append(
            f"| `{row['name']}` | {row['statement']} | {row['tolerance']} | {row['source']} | {held} |"
        )
    return "\n".join(lines)
