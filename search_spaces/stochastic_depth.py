"""Stochastic depth: whole residual blocks dropped at random in training, all of them used at test time.

Huang, Sun, Liu, Sedra & Weinberger 2016, arXiv 1603.09382: a block's survival falls linearly with its depth.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs
from search_spaces.freedoms import (
    BATCH_NORM,
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    IDENTITY,
    MULTIPLIER_WORDS,
    NORM_WORDS,
    NORMS,
    RATIO,
    SHORTCUT_WORDS,
    STAGE_WORDS,
)
from search_spaces.parts import is_large
from search_spaces.residual import padded_basic
from search_spaces.resnet import BLOCK_WORDS, ResidualSpace, padded_network
from search_spaces.stages import classic_depths, depths_of

RULE = "stochastic-depth"


def survival(index: int, blocks: int, last: float) -> float:
    """Return the survival of the block `index` (from 0): 1 − (l / L)(1 − p_L), equation 4."""
    return round(1 - (index + 1) / blocks * (1 - last), 6)


class StochasticDepthSpace(ResidualSpace):
    """Depth per stage, basic or bottleneck blocks, survival of the last block."""

    name = "stochastic_depth"
    title = "residual blocks dropped in training: depth per stage, block, survival of the last"
    rules = (CHANNEL_DOUBLING, IDENTITY, RATIO, BATCH_NORM, GAP_HEAD, RULE)
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        **NORM_WORDS,
        **HEAD_WORDS,
        **BLOCK_WORDS,
        "survival 0.5": "how likely the last block is to run in a training step; the first nearly always",
        "decay": "linear: survival falls with depth; uniform: that of the last block for all",
    }
    least_base = 8  # below that a budget would buy depth that no short trial can train

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth."""
        return (
            ChoiceKnob("block", ("basic", "bottleneck")),
            ChoiceKnob("survival", (0.5, 0.6, 0.7, 0.8, 0.9)),
        )

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, ratios, the head, no normalisation, equal survival."""
        decay = Freedom(ChoiceKnob("decay", ("linear", "uniform")), held="linear")
        return {**super().freedoms(request), BATCH_NORM: NORMS, RULE: (decay,)}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return ResNet-50, on small images ResNet-110, with survival 1 to 0.5 (as deep as it goes)."""
        large = is_large(request.input)
        depths = classic_depths(knobs, (3, 4, 6, 3) if large else (18, 18, 18, 0))
        return {**depths, "block": "bottleneck" if large else "basic", "survival": 0.5}

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
