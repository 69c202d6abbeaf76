"""From a Graph to the Keras model it describes."""

from collections.abc import Callable
from math import prod
from typing import Any, Final, Literal, TypeAlias

import keras
import numpy as np
from keras import layers

from archsearch.ir import ops
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph, Node
from archsearch.readings.cost import training_only
from archsearch.training.initial import AS_OPS_SAY, Start, initial_weights, is_depthwise
from archsearch.training.lowering.grouped_conv import GroupedConv2D
from archsearch.training.lowering.layer_names import MODEL_NAME, LayerNames, layers_of
from archsearch.training.lowering.layers import FusedBatchNorm, MeanOfKept
from archsearch.training.lowering.windows import used_padding, window_cells

_ON_JAX = keras.backend.backend() == "jax"
if _ON_JAX:
    from archsearch.training.lowering.jax_conv import JaxConv2D, JaxDepthwiseConv2D
else:  # a model that was tuned on JAX loads here, too, where its layers are Keras's own
    for _name, _layer in (
        ("JaxConv2D", layers.Conv2D),
        ("JaxDepthwiseConv2D", layers.DepthwiseConv2D),
    ):
        keras.saving.register_keras_serializable("archsearch", _name)(type(_name, (_layer,), {}))

_LOWEST_HALF: Final = -65504.0
"""The same in a process whose numbers have 16 bits."""
Lowering: TypeAlias = Literal["plain", "train", "integer"]

BN_MOMENTUM = 0.9
_MAPS: Final = {"data_format": "channels_last"}
"""Said to every layer that asks: a user's Keras may be configured otherwise."""
_LOWEST = (
    -3.0e38
)  # stands for −inf around a max pool: finite, so that a model's config is plain JSON


def build_model(
    graph: Graph,
    *,
    lowering: Lowering,
    seed: int = 0,
    start: Start = AS_OPS_SAY,
    auxiliary: bool = False,
) -> keras.Model:
    """Build the Keras model of a network, with fresh weights.

    Args:
        graph: the network.
        lowering: `train` uses this package's faster layers; `plain` stock Keras layers alone, so
            that a saved model loads without archsearch; `integer` is `train` for whoever rounds its
            maps to 8 bits: no number is in it that is far from all others. Their weights are the same,
            in the same order: `plain.set_weights(train.get_weights())`.
        seed: of the weights and of dropout. Weights are drawn by NumPy, so that both lowerings
            and all backends start equal.
        start: of the weights.
        auxiliary: keep auxiliary classifiers; the outputs are then a list, the network's own first.

    Returns:
        A functional model from preprocessed float images (height, width, channels) to logits. A
        node's layer is named after it (`layer_names`); explicit padding is a layer of its own,
        `<layer>-pad`. Maps have their channels last, whatever Keras is configured to.
    """
    skip = training_only(graph) if graph.auxiliary and not auxiliary else frozenset()
    names = LayerNames(graph)
    tensors = _tensors(graph, lowering, seed, skip, names)
    outputs = tensors[-1]
    if auxiliary and graph.auxiliary:
        outputs = [outputs, *(tensors[i] for i in graph.auxiliary)]
    # A model's name becomes a name scope; a network's may have any character.
    model = keras.Model(tensors[0], outputs, name=MODEL_NAME)
    weights = initial_weights(graph, seed=seed, start=start, skip=skip)
    built = layers_of(model, graph)
    for name, values in weights.items():
        for variable, value in zip(built[name].weights, values, strict=True):
            variable.assign(value)
    return model


def _tensors(
    graph: Graph, lowering: Lowering, seed: int, skip: frozenset[int], names: LayerNames
) -> list[Any]:
    """Return each node's output, the image's first; None for those in `skip`."""
    builder = _Builder(lowering, seed, names)
    tensors: list[Any] = []
    for index, node in enumerate(graph.nodes):
        if index in skip:
            tensors.append(None)
        else:
            builder.input_shape = graph.input_shapes(node)[0] if node.inputs else ()
            tensors.append(builder.add(node, [tensors[i] for i in node.inputs]))
    return tensors


class _Builder:
    """Adds nodes one by one; one method an op, found by its kind."""

    def __init__(self, lowering: Lowering, seed: int, names: LayerNames) -> None:
        self.train = lowering != "plain"
        self.mirrors = lowering == "integer"
        self.seed = seed
        self.names = names
        self.name = ""
        self.input_shape: ops.Shape = ()

    def add(self, node: Node, inputs: list[Any]) -> Any:
        method: Callable[..., Any] = getattr(self, f"_{node.op.kind}")
        self.name = self.names.of_nodes[node.name]
        return method(node, node.op, *inputs)

    def _part(self, node: Node, part: str) -> str:
        return self.names.part(node.name, part)

    def _input(self, node: Node, op: ops.Input) -> Any:
        return keras.Input(op.shape, name=self.name)

    def _conv(self, node: Node, op: ops.Conv, x: Any) -> Any:
        filters, groups = known(op.filters), known(op.groups)
        x, padding = self._padded(node, x, op.reach, op.stride, op.padding)
        common = {
            "strides": op.stride,
            "padding": padding,
            "use_bias": op.bias,
            "dilation_rate": op.dilation,
            "name": self.name,
            **_MAPS,
        }
        plain, depthwise = self._conv_layers(groups)
        if is_depthwise(op, self.input_shape):
            return depthwise(
                op.kernel,
                depth_multiplier=filters // groups,
                depthwise_initializer="zeros",
                **common,
            )(x)
        return plain(filters, op.kernel, groups=groups, kernel_initializer="zeros", **common)(x)

    def _conv_layers(self, groups: int) -> tuple[Any, Any]:
        """Return what convolves, and what does so depthwise."""
        if self.train and _ON_JAX:
            return JaxConv2D, JaxDepthwiseConv2D
        # TensorFlow's depthwise layers are fast, in training and in a saved model.
        return GroupedConv2D if self.train and groups > 1 else layers.Conv2D, layers.DepthwiseConv2D

    def _dense(self, node: Node, op: ops.Dense, x: Any) -> Any:
        return layers.Dense(op.units, use_bias=op.bias, kernel_initializer="zeros", name=self.name)(
            x
        )

    def _batch_norm(self, node: Node, op: ops.BatchNorm, x: Any) -> Any:
        layer = FusedBatchNorm if self.train else layers.BatchNormalization
        return layer(
            momentum=BN_MOMENTUM,
            epsilon=op.epsilon,
            scale=op.scale,
            center=op.center,
            name=self.name,
        )(x)

    def _layer_norm(self, node: Node, op: ops.LayerNorm, x: Any) -> Any:
        axes = list(range(1, len(node.shape) + 1)) if op.whole else -1
        return layers.LayerNormalization(
            axis=axes, epsilon=op.epsilon, scale=op.scale, center=op.center, name=self.name
        )(x)

    def _group_norm(self, node: Node, op: ops.GroupNorm, x: Any) -> Any:
        return layers.GroupNormalization(
            op.groups, epsilon=op.epsilon, scale=op.scale, center=op.center, name=self.name
        )(x)

    def _prelu(self, node: Node, op: ops.PRelu, x: Any) -> Any:
        shared = None if op.each or len(node.shape) == 1 else [1, 2]
        return layers.PReLU(shared_axes=shared, name=self.name)(x)

    def _layer_scale(self, node: Node, op: ops.LayerScale, x: Any) -> Any:
        # Keras has no layer of its own for this; a 1×1 depthwise convolution is the same product.
        return layers.DepthwiseConv2D(
            1, use_bias=False, depthwise_initializer="zeros", name=self.name, **_MAPS
        )(x)

    def _activation(self, node: Node, op: ops.Activation, x: Any) -> Any:
        if op.function == "elu" and op.slope is not None:
            return layers.ELU(op.slope, name=self.name)(x)
        if op.slope is not None:
            return layers.LeakyReLU(negative_slope=op.slope, name=self.name)(x)
        return layers.Activation(op.function, name=self.name)(x)

    def _pool(self, node: Node, op: ops.Pool, x: Any) -> Any:
        kind = layers.MaxPooling2D if op.method == "max" else layers.AveragePooling2D
        height, width = known(self.input_shape[0]), known(self.input_shape[1])
        # An average that counts its padding must see the zeros, which Keras's "same" leaves out.
        counts = op.method == "avg" and op.count_padding
        fill = _LOWEST if op.method == "max" else 0.0
        x, padding = self._padded(
            node, x, op.kernel, op.stride, op.padding, fill=fill, explicit=counts
        )
        scaled = op.method == "avg" and not counts and padding == "valid" and any(op.padding)
        name = self._part(node, "sum") if scaled else self.name
        x = kind(op.kernel, strides=op.stride, padding=padding, name=name, **_MAPS)(x)
        if not scaled:
            return x
        # Every window divided by the whole kernel's size; its share inside the image is wanted.
        inside = np.outer(
            window_cells(height, op.kernel[0], op.stride[0], op.padding[0], node.shape[0]),
            window_cells(width, op.kernel[1], op.stride[1], op.padding[2], node.shape[1]),
        )
        factor = (prod(op.kernel) / inside)[None, :, :, None].tolist()
        return layers.Rescaling(factor, name=self.name)(x)

    def _global_pool(self, node: Node, op: ops.GlobalPool, x: Any) -> Any:
        kind = layers.GlobalMaxPooling2D if op.method == "max" else layers.GlobalAveragePooling2D
        return kind(keepdims=op.keep_map, name=self.name, **_MAPS)(x)

    def _flatten(self, node: Node, op: ops.Flatten, x: Any) -> Any:
        return layers.Flatten(name=self.name, **_MAPS)(x)

    def _dropout(self, node: Node, op: ops.Dropout, x: Any) -> Any:
        self.seed += 1
        if op.channels:
            return layers.SpatialDropout2D(op.rate, seed=self.seed, name=self.name, **_MAPS)(x)
        return layers.Dropout(op.rate, seed=self.seed, name=self.name)(x)

    def _drop_path(self, node: Node, op: ops.DropPath, x: Any) -> Any:
        self.seed += 1
        shape = (None, *(1 for _ in node.shape))
        return layers.Dropout(1 - op.survival, noise_shape=shape, seed=self.seed, name=self.name)(x)

    def _add(self, node: Node, op: ops.Add, *xs: Any) -> Any:
        return layers.Add(name=self.name)(list(xs))

    def _mean(self, node: Node, op: ops.Mean, *xs: Any) -> Any:
        if not (self.train and op.drop):
            return layers.Average(name=self.name)(list(xs))
        self.seed += 1
        return MeanOfKept(op.drop, seed=self.seed, name=self.name)(list(xs))

    def _multiply(self, node: Node, op: ops.Multiply, x: Any, gate: Any) -> Any:
        return layers.Multiply(name=self.name)([x, gate])

    def _concat(self, node: Node, op: ops.Concat, *xs: Any) -> Any:
        return layers.Concatenate(name=self.name)(list(xs))

    def _pad(self, node: Node, op: ops.Pad, x: Any) -> Any:
        return layers.ZeroPadding2D((op.padding[:2], op.padding[2:]), name=self.name, **_MAPS)(x)

    def _crop(self, node: Node, op: ops.Crop, x: Any) -> Any:
        return layers.Cropping2D((op.cropping[:2], op.cropping[2:]), name=self.name, **_MAPS)(x)

    def _reshape(self, node: Node, op: ops.Reshape, x: Any) -> Any:
        return layers.Reshape(op.target, name=self.name)(x)

    def _permute(self, node: Node, op: ops.Permute, x: Any) -> Any:
        return layers.Permute(op.axes, name=self.name)(x)

    def _resize(self, node: Node, op: ops.Resize, x: Any) -> Any:
        return layers.Resizing(*op.size, interpolation=op.method, name=self.name, **_MAPS)(x)

    def _mirror(self, node: Node, op: ops.Mirror, x: Any) -> Any:
        return layers.Identity(name=self.name)(keras.ops.flip(x, axis=2))

    def _rescale(self, node: Node, op: ops.Rescale, x: Any) -> Any:
        return layers.Rescaling(op.scale, offset=op.offset, name=self.name)(x)

    def _log(self, node: Node, op: ops.Log, x: Any) -> Any:
        return layers.Identity(name=self.name)(keras.ops.log(keras.ops.maximum(x, op.least)))

    def _pad_channels(self, node: Node, op: ops.PadChannels, x: Any) -> Any:
        # As columns: TensorFlow's CPU rewriting merges a padding with a convolution that reads it, and the
        # merged kernel pads no channels.
        height, width, channels = map(known, self.input_shape)
        x = layers.Reshape((height * width, channels, 1), name=self._part(node, "columns"))(x)
        x = layers.ZeroPadding2D(
            ((0, 0), (op.before, op.after)), name=self._part(node, "pad"), **_MAPS
        )(x)
        return layers.Reshape(node.shape, name=self.name)(x)

    def _local_response_norm(self, node: Node, op: ops.LocalResponseNorm, x: Any) -> Any:
        channels = known(self.input_shape[-1])
        before = op.size // 2
        pads = ((0, 0), (0, 0), (0, 0), (before, op.size - 1 - before))
        squares = keras.ops.pad(keras.ops.square(x), pads)
        total = squares[..., :channels]
        for offset in range(1, op.size):
            total = total + squares[..., offset : offset + channels]
        return layers.Identity(name=self.name)(x * (op.k + op.alpha * total) ** -op.beta)

    def _padded(
        self,
        node: Node,
        x: Any,
        reach: ops.Pair,
        stride: ops.Pair,
        padding: ops.Padding,
        *,
        fill: float = 0.0,
        explicit: bool = False,
    ) -> tuple[Any, Literal["same", "valid"]]:
        """Pad where Keras's "valid" and "same" do not say it, which is faster where they do."""
        top, bottom, left, right = used_padding(
            self.input_shape, node.shape, reach, stride, padding
        )
        rows, columns = (top, bottom), (left, right)
        if not any(rows + columns):
            return x, "valid"
        same = tuple(
            _same(known(self.input_shape[axis]), reach[axis], stride[axis]) for axis in (0, 1)
        )
        if same == (rows, columns) and not explicit:
            return x, "same"
        if fill:
            pads = ((0, 0), rows, columns, (0, 0))
            if self.mirrors and 2 * max(rows) <= reach[0] and 2 * max(columns) <= reach[1]:
                # What is mirrored is in the same window already: the largest stays the largest.
                return keras.ops.pad(x, pads, mode="symmetric"), "valid"
            if keras.backend.standardize_dtype(x.dtype) == "float16":
                fill = max(fill, _LOWEST_HALF)
            return keras.ops.pad(x, pads, constant_values=fill), "valid"
        return layers.ZeroPadding2D((rows, columns), name=self._part(node, "pad"), **_MAPS)(
            x
        ), "valid"


def _same(side: int, reach: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding for "same": the odd pixel goes to the end."""
    total = max(0, (-(-side // stride) - 1) * stride + reach - side)
    return total // 2, total - total // 2
