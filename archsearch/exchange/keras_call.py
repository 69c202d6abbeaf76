"""A Keras layer being read: its config, the tensors it is called on, the nodes it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from archsearch.errors import GraphError
from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.graph import Node

ACTIVATIONS: Final = frozenset(
    {
        "relu", "relu6", "sigmoid", "tanh", "softmax", "silu", "swish", "gelu", "elu", "selu",
        "hard_sigmoid", "hard_silu", "hard_swish", "leaky_relu", "softplus", "softsign",
        "exponential", "mish", "log_softmax",
    }
)  # fmt: skip


class Writer:
    """Collects nodes; every shape is inferred and checked as it comes."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.lowest: set[int] = set()  # paddings not with zeros but with −∞, for a max pool

    def add(self, name: str, op: ops.Op, *inputs: int) -> int:
        """Add a node and return its index."""
        try:
            shape = op.infer(*[self.nodes[i].shape for i in inputs])
        except (GraphError, ValueError) as error:  # a wrong number of inputs is a ValueError
            raise GraphError(f"{name}: {error}") from None
        self.nodes.append(Node(name, op, inputs, shape))
        return len(self.nodes) - 1

    def shape(self, index: int) -> tuple[int, ...]:
        """Return a node's shape."""
        return tuple(known(n) for n in self.nodes[index].shape)


@dataclass(frozen=True, slots=True)
class Call:
    """A layer at work: its config, the tensors it is called on, constants among its arguments."""

    path: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[int, ...]
    constants: tuple[float, ...]
    constant_first: bool
    net: Writer

    @property
    def x(self) -> int:
        """The one tensor it is called on."""
        if len(self.inputs) != 1:
            self.refuse(f"is called on {len(self.inputs)} tensors")
        return self.inputs[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """That tensor's shape."""
        return self.net.shape(self.x)

    def add(self, op: ops.Op, *inputs: int, part: str = "") -> int:
        """Add one op; `part` names it within the layer."""
        return self.net.add(f"{self.path}.{part}" if part else self.path, op, *inputs)

    def refuse(self, why: str) -> NoReturn:
        """Raise GraphError naming this layer."""
        raise GraphError(f"{self.path}: this {self.kind} layer {why}, which is not understood")

    def map_shape(self) -> tuple[int, int, int]:
        """Return the input's (height, width, channels)."""
        if self.config.get("data_format") not in (None, "channels_last"):
            self.refuse(f"has data_format {self.config['data_format']!r}")
        shape = self.shape
        if len(shape) != 3:
            self.refuse(f"is called on {shape}, no feature map")
        return shape

    def activated(self, x: int) -> int:
        """Add the layer's own activation, if it has one."""
        return self.activation(x, self.config.get("activation"), part="activation")

    def activation(self, x: int, function: Any, *, part: str = "") -> int:
        """Add an activation by its Keras name; "linear" is none."""
        if function in (None, "linear"):
            return x
        if not isinstance(function, str) or function not in ACTIVATIONS:
            named = function if isinstance(function, str) else _class_name(function)
            self.refuse(f"has the activation {named!r}")
        return self.add(ops.Activation(function), x, part=part)

    def pair(self, key: str) -> tuple[int, int]:
        """Return a setting that is one number or two."""
        value = self.config[key]
        return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))

    def padding(self, reach: tuple[int, int], stride: tuple[int, int]) -> ops.Padding:
        """Return Keras's `padding` as numbers; an odd pixel goes to the end."""
        mode = self.config["padding"]
        if mode == "valid":
            return ops.NO_PADDING
        if mode != "same":
            self.refuse(f"has padding {mode!r}")
        v, h = (
            max(0, (-(-side // s) - 1) * s + k - side)
            for side, k, s in zip(self.map_shape()[:2], reach, stride, strict=True)
        )
        return (v // 2, v - v // 2, h // 2, h - h // 2)

    def last_axis(self) -> None:
        """Refuse a normalisation over anything but the channels."""
        axis = self.config["axis"]
        axes = [axis] if isinstance(axis, int) else list(axis)
        if axes not in ([-1], [len(self.shape)]):
            self.refuse(f"works along axis {axis}")


def _class_name(value: Any) -> str:
    return str(value.get("class_name", value)) if isinstance(value, Mapping) else str(value)
