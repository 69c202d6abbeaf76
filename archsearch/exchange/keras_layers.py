"""One reader for each Keras layer: from its stored config to the ops that compute the same.

Readers see configs alone (plain JSON values), so nothing of a model is run, and Keras is not imported.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod, sqrt
from typing import Any, Final

from archsearch.exchange.keras_call import Call
from archsearch.exchange.keras_shapes import SHAPES, pad
from archsearch.ir import ops

# --- weights ---------------------------------------------------------------------------------------


def _window(
    call: Call,
) -> tuple[tuple[int, int], tuple[int, int], ops.Padding, tuple[int, int]]:
    kernel, stride, dilation = (
        call.pair(key) for key in ("kernel_size", "strides", "dilation_rate")
    )
    reach = (dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1)
    return kernel, stride, call.padding(reach, stride), dilation


def _conv(call: Call) -> int:
    call.map_shape()
    kernel, stride, padding, dilation = _window(call)
    c = call.config
    conv = ops.Conv(
        c["filters"], kernel, stride, padding, c.get("groups", 1), c["use_bias"], dilation
    )
    return call.activated(call.add(conv, call.x))


def _depthwise(call: Call) -> int:
    channels = call.map_shape()[2]
    kernel, stride, padding, dilation = _window(call)
    c = call.config
    filters = channels * c["depth_multiplier"]
    conv = ops.Conv(filters, kernel, stride, padding, channels, c["use_bias"], dilation)
    return call.activated(call.add(conv, call.x))


def _separable(call: Call) -> int:
    channels = call.map_shape()[2]
    kernel, stride, padding, dilation = _window(call)
    c = call.config
    spatial = ops.Conv(
        channels * c["depth_multiplier"], kernel, stride, padding, channels, dilation=dilation
    )
    x = call.add(spatial, call.x, part="depthwise")
    mix = ops.Conv(c["filters"], (1, 1), bias=c["use_bias"])
    return call.activated(call.add(mix, x, part="pointwise"))


def _dense(call: Call) -> int:
    units, bias = call.config["units"], call.config["use_bias"]
    # On a map a dense layer works on each position: a 1×1 convolution.
    op = ops.Dense(units, bias) if len(call.shape) == 1 else ops.Conv(units, (1, 1), bias=bias)
    return call.activated(call.add(op, call.x))


def _batch_norm(call: Call) -> int:
    call.last_axis()
    c = call.config
    return call.add(ops.BatchNorm(c["scale"], c["center"], c["epsilon"]), call.x)


def _layer_norm(call: Call) -> int:
    c = call.config
    axis, rank = c["axis"], len(call.shape)
    axes = {(a - 1) % rank for a in axis if a} if isinstance(axis, list) else set()
    whole = rank > 1 and axes == set(range(rank)) and len(axis) == rank
    if not whole:
        call.last_axis()
    if c.get("rms_scaling"):
        call.refuse("has rms_scaling")
    return call.add(ops.LayerNorm(c["scale"], c["center"], c["epsilon"], whole), call.x)


def _group_norm(call: Call) -> int:
    call.last_axis()
    c, channels = call.config, call.shape[-1]
    groups = channels if c["groups"] == -1 else int(c["groups"])  # -1: each channel on its own
    return call.add(ops.GroupNorm(groups, c["scale"], c["center"], c["epsilon"]), call.x)


def _prelu(call: Call) -> int:
    shared, rank = call.config["shared_axes"] or [], len(call.shape)
    if sorted(shared) not in ([], list(range(1, rank))):
        call.refuse(f"shares its slopes along {shared}")
    start = call.config["alpha_initializer"]
    kind, settings = (
        (start["class_name"], start["config"]) if isinstance(start, Mapping) else ("", {})
    )
    starts: dict[str, float] = {"Zeros": 0.0, "Constant": settings.get("value", 0.0)}
    return call.add(ops.PRelu(rank > 1 and not shared, float(starts.get(kind, 0.25))), call.x)


def _layer_scale(call: Call) -> int:
    return call.add(ops.LayerScale(call.config["init_values"]), call.x)


# --- element by element ----------------------------------------------------------------------------


def _activation(call: Call) -> int:
    return call.activation(call.x, call.config["activation"])


def _relu(call: Call) -> int:
    c = call.config
    if c["negative_slope"] and c["max_value"] is None and not c["threshold"]:
        return _leaky_relu(call)
    name = {None: "relu", 6.0: "relu6"}.get(c["max_value"])
    if name is None or c["negative_slope"] or c["threshold"]:
        call.refuse(
            f"has max_value {c['max_value']}, negative_slope {c['negative_slope']} and "
            f"threshold {c['threshold']}"
        )
    return call.activation(call.x, name)


def _leaky_relu(call: Call) -> int:
    return call.add(ops.Activation("leaky_relu", float(call.config["negative_slope"])), call.x)


def _elu(call: Call) -> int:
    alpha = float(call.config["alpha"])
    return call.add(ops.Activation("elu", None if alpha == 1 else alpha), call.x)


def _named(function: str) -> Callable[[Call], int]:
    return lambda call: call.activation(call.x, function)


def _softmax(call: Call) -> int:
    if call.config.get("axis", -1) not in (-1, len(call.shape)):
        call.refuse(f"works along axis {call.config['axis']}")
    return call.activation(call.x, "softmax")


def _dropout(call: Call) -> int:
    rate, noise = call.config["rate"], call.config.get("noise_shape")
    if noise is None:
        return call.add(ops.Dropout(rate), call.x)
    if any(n != 1 for n in noise[1:]):
        call.refuse(f"has noise_shape {noise}")
    return call.add(ops.DropPath(1 - rate), call.x)


def _channel_dropout(call: Call) -> int:
    call.map_shape()
    return call.add(ops.Dropout(call.config["rate"], channels=True), call.x)


def _stochastic_depth(call: Call) -> int:
    return call.add(ops.DropPath(1 - call.config["drop_path_rate"]), call.x)


def _nothing(call: Call) -> int:
    return call.x


def _constants(call: Call, value: Any) -> float | tuple[float, ...]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        if not all(isinstance(n, int | float) for n in value):
            call.refuse("has constants that are not one a channel")
        return tuple(float(n) for n in value)
    if not isinstance(value, int | float):
        call.refuse(f"has the constant {value!r}")
    return float(value)


def _rescaling(call: Call) -> int:
    scale, offset = (_constants(call, call.config[key]) for key in ("scale", "offset"))
    return call.add(ops.Rescale(scale, offset), call.x)


def _normalization(call: Call) -> int:
    call.last_axis()
    c = call.config
    if c.get("invert"):
        call.refuse("is inverted")
    if c["mean"] is None:  # adapted to data: its numbers are weights, which a Graph has none of
        return call.add(ops.Rescale(), call.x)
    mean, variance = (_constants(call, c[key]) for key in ("mean", "variance"))
    channels = call.shape[-1]
    means = mean if isinstance(mean, tuple) else (mean,) * channels
    variances = variance if isinstance(variance, tuple) else (variance,) * channels
    scale = tuple(1 / max(sqrt(v), 1e-7) for v in variances)
    offset = tuple(-m * s for m, s in zip(means, scale, strict=True))
    return call.add(ops.Rescale(scale, offset), call.x)


# --- several inputs --------------------------------------------------------------------------------


def _add(call: Call) -> int:
    if call.constants:
        return _affine(call, 1.0, call.constants[0])
    return call.add(ops.Add(), *call.inputs)


def _subtract(call: Call) -> int:
    if len(call.constants) != 1 or call.constant_first:
        call.refuse("subtracts no constant")
    return _affine(call, 1.0, -call.constants[0])


def _divide(call: Call) -> int:
    if len(call.constants) != 1 or call.constant_first:
        call.refuse("divides by no constant")
    return _affine(call, 1.0 / call.constants[0], 0.0)


def _affine(call: Call, scale: float, offset: float) -> int:
    return call.add(ops.Rescale(scale, offset), call.x)


def _multiply(call: Call) -> int:
    if call.constants:
        return _affine(call, call.constants[0], 0.0)
    if len(call.inputs) != 2:
        call.refuse(f"multiplies {len(call.inputs)} tensors")
    # The gate may come first, and as a vector, which Keras's merging layer spreads over the map.
    x, gate = sorted(call.inputs, key=lambda i: -prod(call.net.shape(i)))
    shape = call.net.shape(gate)
    if len(shape) == 1 and len(call.net.shape(x)) == 3:
        gate = call.add(ops.Reshape((1, 1, *shape)), gate, part="reshape")
    return call.add(ops.Multiply(), x, gate)


def _mean(call: Call) -> int:
    return call.add(ops.Mean(call.config.get("drop", 0.0)), *call.inputs)


def _concat(call: Call) -> int:
    rank = len(call.net.shape(call.inputs[0]))
    if call.config["axis"] not in (-1, rank):
        call.refuse(f"works along axis {call.config['axis']}")
    return call.add(ops.Concat(), *call.inputs)


def _scaled_sum(call: Call) -> int:
    x, branch = call.inputs
    branch = call.add(ops.Rescale(call.config["scale"]), branch, part="scale")
    return call.add(ops.Add(), x, branch)


LAYERS: Final[Mapping[str, Callable[[Call], int]]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "PReLU": _prelu,
    "LayerScale": _layer_scale,  # ConvNeXt's own
    **SHAPES,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "ELU": _elu,
    "Softmax": _softmax,
    "Dropout": _dropout,
    "SpatialDropout2D": _channel_dropout,
    "StochasticDepth": _stochastic_depth,  # ConvNeXt's own
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Add": _add,
    "Average": _mean,
    "Multiply": _multiply,
    "Concatenate": _concat,
    # archsearch's own, in tuned models (archsearch.keras_tuner)
    "GroupedConv2D": _conv,
    "JaxConv2D": _conv,
    "JaxDepthwiseConv2D": _depthwise,
    "FusedBatchNorm": _batch_norm,
    "MeanOfKept": _mean,
    "CustomScaleLayer": _scaled_sum,  # Inception-ResNet's own
    # At work in training only; nothing is computed in use.
    **dict.fromkeys(
        (
            "Identity", "ActivityRegularization", "GaussianNoise", "GaussianDropout", "AlphaDropout",
            "AugMix", "RandAugment", "RandomBrightness", "RandomColorDegeneration",
            "RandomColorJitter", "RandomContrast", "RandomElasticTransform", "RandomErasing",
            "RandomFlip", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert",
            "RandomPerspective", "RandomPosterization", "RandomRotation", "RandomSaturation",
            "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom",
        ),
        _nothing,
    ),
}  # fmt: skip
"""By class name; a layer that is not here is refused by name."""

OPERATIONS: Final[Mapping[str, Callable[[Call], int]]] = {
    "Add": _add,
    "Pad": pad,
    "Subtract": _subtract,
    "Multiply": _multiply,
    "Divide": _divide,
    "TrueDivide": _divide,
    "Relu": _named("relu"),
    "Relu6": _named("relu6"),
    "Sigmoid": _named("sigmoid"),
    "HardSigmoid": _named("hard_sigmoid"),
    "HardSilu": _named("hard_silu"),
    "Silu": _named("silu"),
    "Softmax": _softmax,
    "Tanh": _named("tanh"),
}
"""Operators and `keras.ops` functions written between layers, by class name."""
