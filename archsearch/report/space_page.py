"""One space in detail: what it searches at a budget, which rules it holds, what its labels say."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from archsearch.report.tables import new_table, pairs
from archsearch.rules.registry import load_rules
from archsearch.space.budget import Budget, Request, full_fill_from
from archsearch.space.knobs import Knob
from archsearch.space.solve import Candidate, sample, solve
from archsearch.space.space import Space
from archsearch.units import format_count, format_size


def usual_budget(space: Space, input: tuple[int, int, int], classes: int) -> Budget:
    """Return the least budget that is filled to 95 %, or the nearest that the space reaches."""
    low, high = space.reach(Request(input, classes, Budget(1, 1)))
    flops = round(full_fill_from(input[0] * input[1]))
    return Budget.cap(min(max(flops, low), high), input)


def space_facts(space: Space, request: Request) -> dict[str, Any]:
    """Return all there is to say about a space at a budget, as JSON values.

    Raises:
        UserError: the request frees a rule that this space cannot free.
        BudgetError: the budget is out of the space's reach.
    """
    knobs = space.knobs(request)
    wider = space.next_tier(request)
    (example,) = sample(space, request, 1)
    left_out = space.left_out(request)
    return {
        "name": space.name,
        "title": space.title,
        "input": list(request.input),
        "classes": request.classes,
        "budget": [request.budget.low, request.budget.high],
        "reach": list(space.reach(request)),
        "classic": _candidate(solve(space, space.classic_knobs(request), request)),
        "knobs": [{"name": knob.name, "values": list(knob.values())} for knob in knobs],
        "wider_from": None if wider is None else wider[0],
        "wider": {} if wider is None else _wider(knobs, wider[1]),
        "left_out": {name: list(values) for name, values in left_out.items()},
        "rules": _rules(space, request),
        "example": _candidate(example),
        "words": dict(space.words),
    }


def _candidate(found: Candidate) -> dict[str, Any]:
    return {
        "label": found.label,
        "knobs": dict(found.knobs),
        "flops": found.cost.flops,
        "params": found.cost.params,
        "fill": found.fill,
        "base_width": found.base_width,
        "widths": dict(found.widths),
    }


def _wider(now: tuple[Knob, ...], then: tuple[Knob, ...]) -> dict[str, Any]:
    values = {knob.name: knob.values() for knob in now}
    return {k.name: list(k.values()) for k in then if set(k.values()) - set(values[k.name])}


def _rules(space: Space, request: Request) -> list[dict[str, Any]]:
    known, freedoms = load_rules(), space.freedoms(request)
    names = space.rules or tuple(sorted(space.relaxable))
    return [
        {
            "name": name,
            "statement": known[name].statement,
            "formula": known[name].formula,
            "tolerance": known[name].tolerance,
            "held": name not in request.relax,
            "freed": {f.knob.name: list(f.knob.choices) for f in freedoms.get(name, ())},
            "unfreed": space.unfreed.get(name, ""),
        }
        for name in names
    ]


# --- as a page -----------------------------------------------------------------------------------


def space_page(facts: Mapping[str, Any]) -> tuple[RenderableType, ...]:
    """Return the facts as tables."""
    low, high = (format_count(flops) for flops in facts["budget"])
    least, most = (format_count(flops) for flops in facts["reach"])
    head = pairs(
        [
            ("space", f"{facts['name']}: {facts['title']}"),
            ("budget", f"{low} to {high} FLOPs on {format_size(tuple(facts['input']))} images, "
                       f"{facts['classes']} classes; the space reaches {least} to {most}"),
            ("classic", _line(facts["classic"])),
            ("example", _line(facts["example"])),
            ("ranges", _ranges(facts)),
        ]
    )  # fmt: skip
    return head, _knob_table(facts), _rule_table(facts["rules"]), _word_table(facts["words"])


def _line(found: Mapping[str, Any]) -> str:
    widths = ", ".join(f"{name} {width}" for name, width in found["widths"].items())
    cost = f"{format_count(found['flops'])} FLOPs, {format_count(found['params'])} parameters"
    return f"{found['label']}: {cost}; base width {found['base_width']:.4g}: {widths}"


def _knob_table(facts: Mapping[str, Any]) -> RenderableType:
    table = new_table("knob", "values at this budget", "more")
    for knob in facts["knobs"]:
        name = knob["name"]
        more = [_span(facts["wider"][name])] if name in facts["wider"] else []
        more += (
            [f"cannot pay {_span(facts['left_out'][name])}"] if name in facts["left_out"] else []
        )
        table.add_row(name, _span(knob["values"]), ", ".join(more))
    return table


def _ranges(facts: Mapping[str, Any]) -> str:
    if facts["wider_from"] is None:
        return "the widest there are"
    return (
        f"wider from {format_count(facts['wider_from'])} FLOPs on; below, some settings would need "
        "narrower stages than the space allows"
    )


def _span(values: list[Any]) -> str:
    whole = all(type(value) is int for value in values)
    if whole and len(values) > 2 and values == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    return ", ".join(map(str, values))


def _rule_table(rules: list[Mapping[str, Any]]) -> RenderableType:
    table = new_table("rule", "what it says", "equation", "tolerance", "--relax")
    for rule in rules:
        freed = "; ".join(_grouped(rule["freed"]))
        state = "" if rule["held"] else "freed: "
        table.add_row(
            rule["name"],
            rule["statement"],
            rule["formula"],
            rule["tolerance"],
            f"{state}{freed}" if freed else f"no: {rule['unfreed']}",
        )
    return table


def _grouped(freed: Mapping[str, list[Any]]) -> list[str]:
    """Write knobs that differ by a number or a family only as one: `multiplier2 to 4: 1, 2`."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, values in freed.items():
        family, _, knob = name.rpartition(" ")
        group = groups.setdefault((knob.rstrip("0123456789"), _span(values)), [])
        if family not in group:
            group.append(family)
    return [
        f"{knob}: {values}" + (f" ({', '.join(families)})" if all(families) else "")
        for (knob, values), families in groups.items()
    ]


def _word_table(words: Mapping[str, str]) -> RenderableType:
    table = new_table("in labels", "meaning")
    for word, meaning in words.items():
        table.add_row(word, meaning)
    return table
