"""Stages: how deep each is."""

from collections.abc import Mapping

from archsearch.space.budget import Request
from archsearch.space.knobs import IntKnob, Knob, Knobs, KnobValue
from search_spaces.parts import is_large


def depth_knobs(most: int, request: Request, *, least: int = 1) -> tuple[IntKnob, ...]:
    """Return blocks per stage: up to `most`, twice that in stage 3, where ResNets are deepest.

    On small images the fourth stage may have none: the three-stage form ResNets have on CIFAR.
    """
    least_last = least if is_large(request.input) else 0
    return (
        IntKnob("depth1", least, most),
        IntKnob("depth2", least, most),
        IntKnob("depth3", least, 2 * most),
        IntKnob("depth4", least_last, most),
    )


def classic_depths(knobs: Mapping[str, Knob], wanted: tuple[int, ...]) -> dict[str, int]:
    """Return `wanted` blocks per stage, as far as the knobs' ranges go; equal ones stay equal."""
    if len(set(filter(None, wanted))) == 1:
        ranges = [knobs[f"depth{i}"].values()[-1] for i, depth in enumerate(wanted, 1) if depth]
        wanted = tuple(depth and min(depth, *map(int, ranges)) for depth in wanted)
    depths = {}
    for i, depth in enumerate(wanted, start=1):
        knob = knobs[f"depth{i}"]
        assert isinstance(knob, IntKnob)
        depths[knob.name] = max(knob.low, min(depth, knob.high))
    return depths


def nearest(knob: Knob, wanted: float) -> KnobValue:
    """Return the knob's value next to `wanted`."""
    return min(knob.values(), key=lambda value: abs(float(value) - wanted))


def depths_of(knobs: Knobs, stages: int = 4) -> tuple[int, ...]:
    """Return the blocks of every stage that has any."""
    depths = (int(knobs[f"depth{i}"]) for i in range(1, stages + 1))
    return tuple(depth for depth in depths if depth)
