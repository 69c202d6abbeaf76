"""The builder's pen: looks like Keras, infers and checks every shape as it goes, records a Graph.

    net = Tracer("tiny", (32, 32, 3))
    with net.scope("stem"):
        x = net.relu(net.batch_norm(net.conv(net.input, 16, kernel=3)))
    graph = net.finish(net.dense(net.global_avg_pool(x), 10))

A wrong shape, argument or group count raises GraphError on the builder's own line, with the layer's path.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple, TypeAlias

from archsearch.errors import GraphError
from archsearch.ir import ops
from archsearch.ir.channels import Width
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import Op, Pair, Shape

Pads: TypeAlias = Literal["same", "valid", "keras"] | int | Pair | ops.Padding
"""Padding: `same` is symmetric (k − 1)/2, `keras` is TensorFlow's uneven "same", an int is that many on
every side, a pair is (vertical, horizontal), four are (top, bottom, left, right)."""

Block: TypeAlias = Callable[..., "Tensor"]


class Tensor:
    """A handle on a layer's output while a network is being written."""

    __slots__ = ("index", "shape")

    def __init__(self, index: int, shape: Shape) -> None:
        self.index = index
        self.shape = shape

    @property
    def channels(self) -> Width:
        """Channels of a map, units of a vector."""
        return self.shape[-1]

    @property
    def side(self) -> int:
        """The shorter side of the map, in pixels."""
        return min(self.shape[0], self.shape[1])  # type: ignore[type-var, return-value]


class _Recording(NamedTuple):
    """Where a block was first written: its nodes' range, the length of its path, its output."""

    start: int
    end: int
    prefix: int
    out: Tensor


class Tracer:
    """Records a network; every method adds a layer and returns its output."""

    def __init__(self, name: str, shape: tuple[int, int, int]) -> None:
        self.name = name
        self._nodes: list[Node] = []
        self._path = ""
        self._counts: dict[str, int] = {}
        self._first: dict[Hashable, _Recording] = {}
        self._auxiliary: list[int] = []
        self.input = self._add(ops.Input(shape), name="input")

    # --- structure -----------------------------------------------------------------------------

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Name the layers inside: `stage1` makes `stage1.conv1`."""
        outer = (self._path, self._counts)
        self._path, self._counts = f"{self._path}{name}.", {}
        try:
            yield
        finally:
            self._path, self._counts = outer

    def block(
        self, name: str, build: Block, x: Tensor, *, survival: float = 1, **arguments: Hashable
    ) -> Tensor:
        """Write `build(net, x, **arguments)` in the scope `name`, recorded once per shape and arguments.

        A repeated block is copied from its first recording, which makes deep networks cheap to trace. A
        `survival` below 1 is an argument of `build` too; each copy's drop-paths have its own.
        """
        drops = survival < 1
        key = (build, x.shape, drops, tuple(arguments.items()))
        first = self._first.get(key)
        nodes, start = self._nodes, len(self._nodes)
        if first is None:
            with self.scope(name):
                prefix = len(self._path)
                own = {"survival": survival} if drops else {}
                out = build(self, x, **own, **arguments)
            self._first[key] = _Recording(start, len(nodes), prefix, out)
            return out
        shift, index = start - first.start, x.index
        path, new = f"{self._path}{name}.", tuple.__new__  # half the cost of calling Node
        drop_path = ops.DropPath(survival)
        for label, op, inputs, shape in nodes[first.start : first.end]:
            # Inputs from before the block can only be `x`: blocks are functions of one tensor.
            moved = tuple([i + shift if i >= first.start else index for i in inputs])
            copied = drop_path if drops and type(op) is ops.DropPath else op
            nodes.append(new(Node, (path + label[first.prefix :], copied, moved, shape)))
        out = first.out
        return Tensor(out.index + shift if out.index >= first.start else index, out.shape)

    def finish(self, logits: Tensor) -> Graph:
        """Return the network that ends in `logits`, one score a class."""
        if len(logits.shape) != 1:
            raise GraphError(
                f"{self.name}: a network ends in a vector of scores, got {logits.shape}"
            )
        if logits.index != len(self._nodes) - 1:
            raise GraphError(
                f"{self.name}: layers after the scores lead nowhere: {self._nodes[-1].name}"
            )
        return Graph(self.name, tuple(self._nodes), tuple(self._auxiliary))

    @contextmanager
    def training_only(self, name: str) -> Iterator[None]:
        """Name the layers of an auxiliary classifier, which no budget pays for."""
        with self.scope(name):
            yield

    def resize(
        self,
        x: Tensor,
        size: Pair,
        *,
        method: Literal["bilinear", "nearest"] = "bilinear",
        name: str | None = None,
    ) -> Tensor:
        """Scale a map to (height, width)."""
        return self._add(ops.Resize(size, method), x, name=name)

    def auxiliary(self, logits: Tensor) -> None:
        """Declare `logits` an auxiliary classifier's scores, used in training only."""
        self._auxiliary.append(logits.index)

    # --- layers --------------------------------------------------------------------------------

    def conv(
        self,
        x: Tensor,
        filters: Width,
        *,
        kernel: int | Pair,
        stride: int | Pair = 1,
        padding: Pads = "same",
        groups: Width = 1,
        bias: bool = False,
        dilation: int | Pair = 1,
        name: str | None = None,
    ) -> Tensor:
        """Add a convolution; `groups=x.channels` makes it depthwise."""
        kernel, stride, dilation = _pair(kernel), _pair(stride), _pair(dilation)
        reach = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
        pads = self._padding(padding, x, reach, stride)
        return self._add(
            ops.Conv(filters, kernel, stride, pads, groups, bias, dilation), x, name=name
        )

    def max_pool(
        self,
        x: Tensor,
        *,
        kernel: int | Pair,
        stride: int | Pair | None = None,
        padding: Pads = "valid",
        ceil: bool = False,
        name: str | None = None,
    ) -> Tensor:
        """Add max pooling; `ceil` rounds the output side up instead of down."""
        return self._pool("max", x, kernel, stride, padding, ceil, False, name)

    def avg_pool(
        self,
        x: Tensor,
        *,
        kernel: int | Pair,
        stride: int | Pair | None = None,
        padding: Pads = "valid",
        ceil: bool = False,
        count_padding: bool = False,
        name: str | None = None,
    ) -> Tensor:
        """Add average pooling."""
        return self._pool("avg", x, kernel, stride, padding, ceil, count_padding, name)

    def global_avg_pool(
        self, x: Tensor, *, keep_map: bool = False, name: str | None = None
    ) -> Tensor:
        """Average each channel over the whole map."""
        return self._add(ops.GlobalPool("avg", keep_map), x, name=name)

    def flatten(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Turn a map into a vector."""
        return self._add(ops.Flatten(), x, name=name)

    def dense(
        self, x: Tensor, units: Width, *, bias: bool = True, name: str | None = None
    ) -> Tensor:
        """Add a fully connected layer."""
        return self._add(ops.Dense(units, bias), x, name=name)

    def batch_norm(self, x: Tensor, *, epsilon: float = 1e-5, name: str | None = None) -> Tensor:
        """Add batch normalisation with scale and centre."""
        return self._add(ops.BatchNorm(epsilon=epsilon), x, name=name)

    def layer_norm(self, x: Tensor, *, epsilon: float = 1e-6, name: str | None = None) -> Tensor:
        """Add layer normalisation over the channels of each position, with scale and centre."""
        return self._add(ops.LayerNorm(epsilon=epsilon), x, name=name)

    def group_norm(
        self, x: Tensor, groups: int = 32, *, epsilon: float = 1e-5, name: str | None = None
    ) -> Tensor:
        """Add normalisation over groups of channels, with scale and centre."""
        return self._add(ops.GroupNorm(groups, epsilon=epsilon), x, name=name)

    def local_response_norm(
        self,
        x: Tensor,
        *,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        k: float = 2.0,
        name: str | None = None,
    ) -> Tensor:
        """Add AlexNet's local response normalisation."""
        return self._add(ops.LocalResponseNorm(size, alpha, beta, k), x, name=name)

    def activation(self, x: Tensor, function: str, *, name: str | None = None) -> Tensor:
        """Add a nonlinearity by its Keras name."""
        return self._add(ops.Activation(function), x, name=name or self._numbered(function))

    def relu(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Add a ReLU."""
        return self.activation(x, "relu", name=name)

    def prelu(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Add a ReLU with a trained slope below 0 for each channel (He et al. 2015, arXiv:1502.01852)."""
        return self._add(ops.PRelu(), x, name=name)

    def gelu(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Add a GELU, x·Φ(x) with the exact Φ (Hendrycks & Gimpel 2016, arXiv:1606.08415)."""
        return self.activation(x, "gelu", name=name)

    def silu(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Add a SiLU, x·sigmoid(x); also called swish (Ramachandran et al. 2017, arXiv:1710.05941)."""
        return self.activation(x, "silu", name=name)

    def hard_swish(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Add a hard swish, x·relu6(x + 3)/6 (Howard et al. 2019, arXiv:1905.02244, section 5.2)."""
        return self.activation(x, "hard_swish", name=name)

    def log(self, x: Tensor, *, least: float = 1e-7, name: str | None = None) -> Tensor:
        """Add the natural logarithm of what is at least `least`: probabilities become scores again."""
        return self._add(ops.Log(least), x, name=name)

    def dropout(
        self, x: Tensor, rate: float, *, channels: bool = False, name: str | None = None
    ) -> Tensor:
        """Add dropout of single elements, or of whole channels of a map."""
        return self._add(ops.Dropout(rate, channels), x, name=name)

    def drop_path(self, x: Tensor, survival: float, *, name: str | None = None) -> Tensor:
        """Drop the whole branch of a sample with probability 1 − `survival` in training."""
        return self._add(ops.DropPath(survival), x, name=name)

    def add(self, *xs: Tensor, name: str | None = None) -> Tensor:
        """Sum tensors of one shape."""
        return self._add(ops.Add(), *xs, name=name)

    def mean(self, *xs: Tensor, drop: float = 0.0, name: str | None = None) -> Tensor:
        """Average maps of one shape; in training each is left out with probability `drop`."""
        return self._add(ops.Mean(drop), *xs, name=name)

    def scale(self, x: Tensor, factor: float, *, name: str | None = None) -> Tensor:
        """Multiply by a constant that is never trained."""
        return self._add(ops.Rescale(factor), x, name=name)

    def layer_scale(self, x: Tensor, initial: float = 1e-6, *, name: str | None = None) -> Tensor:
        """Multiply each channel by a trained factor (Touvron et al. 2021, arXiv:2103.17239)."""
        return self._add(ops.LayerScale(initial), x, name=name)

    def multiply(self, x: Tensor, gate: Tensor, *, name: str | None = None) -> Tensor:
        """Scale a map by its gate."""
        return self._add(ops.Multiply(), x, gate, name=name)

    def concat(self, xs: Sequence[Tensor], *, name: str | None = None) -> Tensor:
        """Stack maps along the channels."""
        return self._add(ops.Concat(), *xs, name=name)

    def mirror(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Exchange a map's left and right."""
        return self._add(ops.Mirror(), x, name=name)

    def permute(self, x: Tensor, axes: tuple[int, int, int], *, name: str | None = None) -> Tensor:
        """Put a map's axes in another order; height is 1, width 2, channels 3."""
        return self._add(ops.Permute(axes), x, name=name)

    def pad_channels(
        self, x: Tensor, *, before: Width, after: Width, name: str | None = None
    ) -> Tensor:
        """Add zero channels."""
        return self._add(ops.PadChannels(before, after), x, name=name)

    # --- recording -----------------------------------------------------------------------------

    def _add(self, op: Op, *inputs: Tensor, name: str | None) -> Tensor:
        label = name or self._numbered(op.kind)
        try:
            shape = op.infer(*[x.shape for x in inputs])
        except GraphError as error:
            raise GraphError(f"{self.name}: {self._path}{label}: {error}") from None
        return self._record(self._path + label, op, inputs, shape)

    def _record(self, name: str, op: Op, inputs: tuple[Tensor, ...], shape: Shape) -> Tensor:
        self._nodes.append(Node(name, op, tuple([x.index for x in inputs]), shape))
        return Tensor(len(self._nodes) - 1, shape)

    def _numbered(self, kind: str) -> str:
        count = self._counts[kind] = self._counts.get(kind, 0) + 1
        return f"{kind}{count}"

    def _pool(
        self,
        method: Literal["max", "avg"],
        x: Tensor,
        kernel: int | Pair,
        stride: int | Pair | None,
        padding: Pads,
        ceil: bool,
        count_padding: bool,
        name: str | None,
    ) -> Tensor:
        kernel = _pair(kernel)
        stride = kernel if stride is None else _pair(stride)
        pads = self._padding(padding, x, kernel, stride)
        if ceil:
            pads = _ceil(pads, _map_size(x), kernel, stride)
        return self._add(ops.Pool(method, kernel, stride, pads, count_padding), x, name=name)

    def _padding(self, padding: Pads, x: Tensor, reach: Pair, stride: Pair) -> ops.Padding:
        if padding == "valid":
            return ops.NO_PADDING
        if padding == "same":
            if not (reach[0] % 2 and reach[1] % 2):
                raise GraphError(
                    f"{self.name}: {self._path}: a {reach[0]}×{reach[1]} window has no centre; "
                    "give its padding as numbers"
                )
            v, h = reach[0] // 2, reach[1] // 2
            return (v, v, h, h)
        if padding == "keras":
            v, h = (
                max(0, (-(-side // s) - 1) * s + k - side)
                for side, k, s in zip(_map_size(x), reach, stride, strict=True)
            )
            return (v // 2, v - v // 2, h // 2, h - h // 2)
        if isinstance(padding, int):
            return (padding, padding, padding, padding)
        if len(padding) == 2:
            return (padding[0], padding[0], padding[1], padding[1])
        return padding


def _map_size(x: Tensor) -> Pair:
    return (x.shape[0], x.shape[1])  # type: ignore[return-value]  # a map's sides are integers


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value


def _ceil(pads: ops.Padding, size: Pair, kernel: Pair, stride: Pair) -> ops.Padding:
    """Extend the bottom and right padding so that a partial last window counts (PyTorch's ceil_mode).

    As there, a last window that would start in the padding is left out.
    """
    top, bottom, left, right = pads
    extra = []
    for side, k, s, before, after in (
        (size[0], kernel[0], stride[0], top, bottom),
        (size[1], kernel[1], stride[1], left, right),
    ):
        count = -(-(side + before + after - k) // s) + 1
        if (count - 1) * s >= side + before:
            count -= 1
        extra.append(max(after, (count - 1) * s + k - side - before))
    return (top, extra[0], left, extra[1])


__all__ = ["Block", "Pads", "Tensor", "Tracer"]
