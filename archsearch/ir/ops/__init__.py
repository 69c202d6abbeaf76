"""The operations a network is made of: frozen values that say their shapes, their weights and their traits.

To add an op, four files:

1. one of these modules: a dataclass with `kind`, `infer`, `weights` and `product` (a subclass of `Free` has
   neither of the last two), its name in the module's `__all__`;
2. `ir/tracer.py`: a method that adds it;
3. `training/lowering/keras_model.py`: a method of its kind's name that makes the Keras layer, whose weights
   come in the order in which the op lists them;
4. `training/lowering/torch_network.py`: a method of its kind's name that makes the PyTorch function.

Costs, tables, memory, stored networks and the weights a training starts from follow. A network that uses it
belongs in `tests/training/lowering/test_every_op.py`, which fails for an op without one, or without a
lowering.

Shapes have no batch dimension: `(height, width, channels)` for a feature map, `(units,)` for a vector.
Padding is always explicit, `(top, bottom, left, right)`, as every framework means something else by "same".
"""

from typing import Final

from archsearch.ir.ops import joining, pointwise, reshaping, weighted
from archsearch.ir.ops.joining import *  # noqa: F403  what a module lists is this package's
from archsearch.ir.ops.op import *  # noqa: F403
from archsearch.ir.ops.op import Op
from archsearch.ir.ops.pointwise import *  # noqa: F403
from archsearch.ir.ops.reshaping import *  # noqa: F403
from archsearch.ir.ops.weighted import *  # noqa: F403


def _listed() -> dict[str, type[Op]]:
    modules = (reshaping, weighted, pointwise, joining)
    found = [getattr(module, name) for module in modules for name in module.__all__]
    return {op.kind: op for op in found}


OPS: Final = _listed()
"""All ops by kind."""
