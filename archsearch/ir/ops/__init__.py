"""The operations a network is made of: frozen values, each able to infer its output's shape.

To add an op: a dataclass in one of these modules (with `kind` and `infer`), a line in `OPS`, its FLOPs and
parameters in `readings/cost.py`, its lowerings in `training/lowering/keras_model.py` (Keras)
and `training/lowering/torch_network.py` (PyTorch). Everything else follows.

Shapes have no batch dimension: `(height, width, channels)` for a feature map, `(units,)` for a vector.
Padding is always explicit, `(top, bottom, left, right)`, as every framework means something else by "same".
"""

from archsearch.ir.ops.joining import Add, Concat, Mean, Multiply
from archsearch.ir.ops.op import NO_PADDING, Op, Padding, Pair, Shape
from archsearch.ir.ops.pointwise import Activation, Dropout, DropPath, LocalResponseNorm, Rescale
from archsearch.ir.ops.reshaping import (
    Crop,
    Flatten,
    GlobalPool,
    Input,
    Pad,
    PadChannels,
    Pool,
    Reshape,
    Resize,
)
from archsearch.ir.ops.weighted import BatchNorm, Conv, Dense, LayerNorm, LayerScale

OPS: dict[str, type[Op]] = {
    op.kind: op
    for op in (
        Input, Conv, Pool, GlobalPool, Flatten, Dense, BatchNorm, LocalResponseNorm, Activation,
        Dropout, DropPath, Add, Mean, Multiply, Concat, PadChannels, LayerNorm, LayerScale, Pad, Crop,
        Reshape, Rescale, Resize,
    )
}  # fmt: skip

__all__ = [
    "NO_PADDING",
    "OPS",
    "Activation",
    "Add",
    "BatchNorm",
    "Concat",
    "Conv",
    "Crop",
    "Dense",
    "DropPath",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "Input",
    "LayerNorm",
    "LayerScale",
    "LocalResponseNorm",
    "Mean",
    "Multiply",
    "Op",
    "Pad",
    "PadChannels",
    "Padding",
    "Pair",
    "Pool",
    "Rescale",
    "Reshape",
    "Resize",
    "Shape",
]
