"""Several budgets of one space: what it is asked for in each, and the knobs of all."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import ChoiceKnob, IntKnob, Knob, RisingKnob
from archsearch.space.space import Space


def slices_of(request: Request, budgets: Iterable[int]) -> tuple[Request, ...]:
    """Return the request at each of some budgets in FLOPs, every one a cap to be filled."""
    return tuple(replace(request, budget=Budget.cap(flops, request.input)) for flops in budgets)


def knobs_of(space: Space, requests: Sequence[Request]) -> tuple[Knob, ...]:
    """Return the knobs of a space with the values that they have at any of several budgets.

    Not each value is there at each budget: a small one cannot pay the depth of a large one.

    Raises:
        BudgetError: a budget is out of the space's reach.
    """
    if len(requests) == 1:
        return space.knobs(requests[0])
    found: dict[str, list[Knob]] = {}
    for request in requests:
        for knob in space.knobs(request):
            found.setdefault(knob.name, []).append(knob)
    return tuple(_joined(knobs) for knobs in found.values())


def _joined(knobs: Sequence[Knob]) -> Knob:
    first = knobs[0]
    counts = [knob for knob in knobs if isinstance(knob, IntKnob)]
    if len(counts) == len(knobs):
        return IntKnob(first.name, min(k.low for k in counts), max(k.high for k in counts))
    longest = max(knobs, key=lambda knob: len(knob.values()))
    values = tuple(dict.fromkeys(v for knob in (longest, *knobs) for v in knob.values()))
    if isinstance(longest, RisingKnob):
        return RisingKnob(first.name, tuple(sorted(values)))
    return ChoiceKnob(first.name, values)
