"""Stages: how deep each is, and how widths grow from one to the next.

Channels double where the map halves (VGG's rule); freed by `--relax channel-doubling`, each step's multiplier
is a knob.
"""

from collections.abc import Mapping

from archsearch.space.budget import Request
from archsearch.space.knobs import IntKnob, Knob, Knobs, KnobValue, RisingKnob
from search_spaces.parts import is_large

CHANNEL_DOUBLING = "channel-doubling"
MULTIPLIERS = (1.0, 1.5, 2.0, 2.5)


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
    """Return `wanted` blocks per stage, as far as the knobs' ranges go."""
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


def multiplier_knobs(request: Request, stages: int, most: float = 2.5) -> tuple[Knob, ...]:
    """Return a knob for every step between stages where channel-doubling is freed, else none."""
    if CHANNEL_DOUBLING not in request.relax:
        return ()
    values = tuple(m for m in MULTIPLIERS if m <= most)
    return tuple(RisingKnob(f"multiplier{s}", values) for s in range(2, stages + 1))


def held(knobs: Mapping[str, Knob]) -> dict[str, KnobValue]:
    """Return the multipliers, where they are knobs, at the rule's own value."""
    return {name: 2.0 for name in knobs if name.startswith("multiplier")}


def growth(knobs: Knobs, stages: int) -> tuple[float, ...]:
    """Return each stage's width in units of the first's: 1, 2, 4 … unless the multipliers are knobs."""
    factors = [1.0]
    for s in range(2, stages + 1):
        factors.append(factors[-1] * float(knobs.get(f"multiplier{s}", 2.0)))
    return tuple(factors)
