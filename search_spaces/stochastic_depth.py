"""Stochastic depth: whole residual blocks dropped at random in training, all of them used at test time.

Huang, Sun, Liu, Sedra & Weinberger 2016, arXiv 1603.09382: a block's survival falls linearly with its depth.
"""

from collections.abc import Mapping
from typing import Any

from archsearch.ir.tracer import Block, Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Knob, Knobs, KnobValue
from search_spaces.parts import is_large
from search_spaces.residual import basic, bottleneck, padded_basic
from search_spaces.resnet import ResNetSpace, padded_network
from search_spaces.stages import CHANNEL_DOUBLING, classic_depths, depths_of, held

RULE = "stochastic-depth"


def survival(index: int, blocks: int, last: float) -> float:
    """Return the survival of the block `index` (from 0): 1 − (l / L)(1 − p_L), equation 4."""
    return round(1 - (index + 1) / blocks * (1 - last), 6)


class StochasticDepthSpace(ResNetSpace):
    """Depth per stage, basic or bottleneck blocks, survival of the last block."""

    name = "stochastic_depth"
    title = "residual blocks dropped in training: depth per stage, block, survival of the last"
    rules = (CHANNEL_DOUBLING, "identity-shortcut", "bottleneck-ratio", "bn-after-conv", RULE)
    least_base = 8  # below that a budget would buy depth that no short trial can train
    relaxable = frozenset({CHANNEL_DOUBLING, RULE})

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth."""
        knobs: tuple[Knob, ...] = (
            ChoiceKnob("block", ("basic", "bottleneck")),
            ChoiceKnob("survival", (0.5, 0.6, 0.7, 0.8, 0.9)),
        )
        if RULE in request.relax:
            knobs += (ChoiceKnob("decay", ("linear", "uniform")),)
        return knobs

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return ResNet-50, on small images ResNet-110, with survival 1 to 0.5 (as deep as it goes)."""
        large = is_large(request.input)
        depths = classic_depths(knobs, (3, 4, 6, 3) if large else (18, 18, 18, 0))
        rest: dict[str, KnobValue] = {"decay": "linear"} if "decay" in knobs else {}
        block = "bottleneck" if large else "basic"
        return {**depths, "block": block, "survival": 0.5, **held(knobs), **rest}

    def ratio(self, knobs: Knobs) -> float:
        """Return output width over inner width: 1 for basic blocks, 4 for bottlenecks."""
        return 1 if knobs["block"] == "basic" else 4

    def block(self, knobs: Knobs) -> Block:
        """Return the block to stack."""
        return basic if knobs["block"] == "basic" else bottleneck

    def settings(self, knobs: Knobs) -> dict[str, Any]:
        """Return each block's survival."""
        blocks, last = sum(depths_of(knobs)), float(knobs["survival"])
        if knobs.get("decay") == "uniform":
            return {"survivals": [last] * blocks}
        return {"survivals": [survival(index, blocks, last) for index in range(blocks)]}

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `18-18-18 basic survival 0.5`."""
        depths = "-".join(map(str, depths_of(knobs)))
        return f"{depths} {knobs['block']} survival {knobs['survival']}"


def _write(net: Tracer, classes: int) -> Tensor:
    return padded_network(
        net, classes, 110, padded_basic, lambda index: {"survival": survival(index, 54, 0.5)}
    )


STOCHASTIC_DEPTH = StochasticDepthSpace()
BASELINES = {
    "resnet110_stochastic_depth": Baseline(
        name="resnet110_stochastic_depth",
        title="ResNet-110 with stochastic depth, for CIFAR",
        source="Huang et al. 2016: ResNet-110 with option A shortcuts, survival 1 to 0.5",
        input=(32, 32, 3),
        classes=10,
        write=_write,
        smallest=8,
    )
}
