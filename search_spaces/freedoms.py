"""What freeing a design rule opens, for the rules that several families share.

Each has the value that the rule asks for, which is what `knobs.get` gives where the rule is held.
"""

from collections.abc import Mapping
from typing import Final

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.knobs import ChoiceKnob, Freedom, Knobs, RisingKnob
from search_spaces.parts import dense_head, pooled_head

BATCH_NORM: Final = "bn-after-conv"
CHANNEL_DOUBLING: Final = "channel-doubling"
GAP_HEAD: Final = "global-average-pooling-head"
IDENTITY: Final = "identity-shortcut"
NARROW_FIRST: Final = "1x1-bottleneck"
PRE_ACTIVATION: Final = "pre-activation"
RATIO: Final = "bottleneck-ratio"

MULTIPLIERS: Final = (1.0, 1.5, 2.0, 2.5)

NO_POST_ACTIVATION: Final = "with the order of the layers free it is the resnet space"
"""Why pre-activation cannot be freed."""


def multipliers(stages: int) -> tuple[Freedom, ...]:
    """Return a knob for every step between stages: by what the width grows where the map halves."""
    return tuple(
        Freedom(RisingKnob(f"multiplier{s}", MULTIPLIERS), held=2.0) for s in range(2, stages + 1)
    )


def growth(knobs: Knobs, stages: int) -> tuple[float, ...]:
    """Return each stage's width in units of the first's: 1, 2, 4 … unless the multipliers are knobs."""
    if "multiplier2" not in knobs:
        return _DOUBLING[:stages]
    factors = [1.0]
    for s in range(2, stages + 1):
        factors.append(factors[-1] * float(knobs[f"multiplier{s}"]))
    return tuple(factors)


_DOUBLING: Final = (1.0, 2.0, 4.0, 8.0, 16.0)


SHORTCUTS: Final = (
    Freedom(ChoiceKnob("shortcut", ("identity", "projection", "none")), held="identity"),
)
"""A projection in every block, or plain stacks: what ResNet was compared with."""


def shortcut(knobs: Knobs) -> str:
    """Return `identity`, `projection` or `none`."""
    return str(knobs.get("shortcut", "identity"))


NORMS: Final = (Freedom(ChoiceKnob("batch_norm", (True, False)), held=True),)
"""No batch normalisation at all: convolutions with biases."""


def has_norm(knobs: Knobs) -> bool:
    """Say whether convolutions are normalised."""
    return bool(knobs.get("batch_norm", True))


HEADS: Final = (Freedom(ChoiceKnob("head", ("gap", "fc")), held="gap"),)
"""A hidden dense layer on the flattened map."""


def has_dense_head(knobs: Knobs) -> bool:
    """Say whether the network ends in dense layers on the flattened map."""
    return knobs.get("head", "gap") == "fc"


def write_head(
    net: Tracer, x: Tensor, widths: Mapping[str, Width], classes: int, *, knobs: Knobs
) -> Tensor:
    """Write the head that the knobs choose; the dense one has `hidden` units."""
    if has_dense_head(knobs):
        return dense_head(net, x, (widths["hidden"],), classes)
    return pooled_head(net, x, classes)


# --- what the words of labels mean ----------------------------------------------------------------

STAGE_WORDS: Final = {"1-2-3": "blocks a stage, the first stage first"}
MULTIPLIER_WORDS: Final = {"multiplier 2-1.5": "the width of each stage in units of the one before"}
SHORTCUT_WORDS: Final = {
    "shortcut": "identity: a block's input is added as it is; projection: after a 1×1; none: not at all",
}
NORM_WORDS: Final = {"batch_norm": "False: no batch normalisation anywhere"}
HEAD_WORDS: Final = {
    "head": "gap: global average pooling and one dense layer; fc: dense layers on the flattened map",
}
