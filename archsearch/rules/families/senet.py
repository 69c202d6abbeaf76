"""Squeeze-and-excitation: a gate for each channel, from a global pool through a narrow hidden layer.

Hu et al. 2017, arXiv 1709.01507; the lecture's SENet part.
"""

from collections.abc import Iterator
from dataclasses import replace

from archsearch.ir import ops
from archsearch.readings.cost import known
from archsearch.rules.patterns import View
from archsearch.rules.rule import Breach, Rule, Source

REDUCTION = 16
"""The paper's ratio of channels to hidden units."""
LEAST = 3
"""From this ratio on a gate is cheap (MobileNetV3's 4, rounded to whole multiples of 8 units)."""

_FEW = 8
"""Hidden units that cost nothing, whatever the channels."""


def gate_params(channels: int, reduction: int = REDUCTION) -> int:
    """Return the weights of a gate's two layers, 2C²/r, without biases.

    >>> gate_params(512)
    32768
    """
    return 2 * channels * (channels // reduction)


def _look(view: View) -> Iterator[Breach]:
    for index, node in enumerate(view.nodes):
        if node.op.kind != "multiply":
            continue
        layers = _gate_layers(view, index)
        if len(layers) != 2:
            continue
        squeeze, _ = layers
        channels = view.channels(index)
        op = view.nodes[squeeze].op
        hidden = known(view.nodes[squeeze].shape[-1])
        if hidden * LEAST <= channels or hidden <= _FEW:
            continue
        narrow = max(1, channels // REDUCTION)
        changed: ops.Op
        if isinstance(op, ops.Conv):
            changed = replace(op, filters=narrow)
        else:
            assert isinstance(op, ops.Dense)
            changed = replace(op, units=narrow)
        yield Breach(
            squeeze,
            f"a gate for {channels} channels through {hidden} hidden units "
            f"(ratio {channels / hidden:.2g})",
            f"ratio {REDUCTION}, {narrow} units, gates as well",
            changed={squeeze: changed},
        )


def _gate_layers(view: View, index: int) -> list[int]:
    """Return the layers of the gate that a multiplication applies, the first one first."""
    found: list[int] = []
    at = view.nodes[index].inputs[1]
    while len(view.nodes[at].inputs) == 1:
        if view.kind(at) == "global_pool":
            return found[::-1]
        if view.kind(at) in {"conv", "dense"}:
            found.append(at)
        at = view.nodes[at].inputs[0]
    return []


RULES = (
    Rule(
        name="squeeze-excitation",
        statement="Gate each channel by a global pool and two layers with a narrow one between "
        "them: few parameters, hardly any FLOPs.",
        source=Source("SENet", "Hu et al. 2017, arXiv 1709.01507", "sections 3.2 and 6.1"),
        look=_look,
        equation=gate_params,
        formula="2C²/r weights a gate, r = 16",
        tolerance=f"any ratio from {LEAST} on; any gate of up to {_FEW} units",
    ),
)
