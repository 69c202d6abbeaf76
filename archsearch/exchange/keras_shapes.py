"""Keras layers that change a map's shape, read as those of keras_layers are."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any, Final

from archsearch.exchange.keras_call import Call
from archsearch.ir import ops

LOWEST: Final = -65504.0
"""A number this low (of 16 bits the lowest) around a max pool stands for −∞."""


def _sides(value: Any) -> ops.Padding:
    (top, bottom), (left, right) = value
    return (int(top), int(bottom), int(left), int(right))


def _zero_pad(call: Call) -> int:
    call.map_shape()
    return call.add(ops.Pad(_sides(call.config["padding"])), call.x)


def pad(call: Call) -> int:
    """Read `keras.ops.pad`: a map's sides, or its channels."""
    batch, *sides, channels = ((int(a), int(b)) for a, b in call.config["pad_width"])
    fill = call.constants[0] if call.constants else 0.0
    if len(sides) != 2 or any(batch) or call.config["mode"] != "constant":
        call.refuse(f"pads {call.config['pad_width']} by {call.config['mode']!r}")
    if any(channels) and not any(sides[0] + sides[1]) and not fill:
        return call.add(ops.PadChannels(*channels), call.x)
    if any(channels) or (fill and fill > LOWEST):
        call.refuse(f"pads {call.config['pad_width']} with {fill:g}")
    out = call.add(ops.Pad(_sides(sides)), call.x)
    if fill:
        call.net.lowest.add(out)
    return out


def _crop(call: Call) -> int:
    call.map_shape()
    return call.add(ops.Crop(_sides(call.config["cropping"])), call.x)


def _resized(call: Call, x: int, size: tuple[int, int], method: Any, *, part: str = "") -> int:
    if method not in ("bilinear", "nearest"):
        call.refuse(f"has the interpolation {method!r}")
    return x if call.net.shape(x)[:2] == size else call.add(ops.Resize(size, method), x, part=part)


def _resizing(call: Call) -> int:
    call.map_shape()
    c = call.config
    for key in ("crop_to_aspect_ratio", "pad_to_aspect_ratio", "antialias"):
        if c.get(key):
            call.refuse(f"has {key}")
    return _resized(call, call.x, (int(c["height"]), int(c["width"])), c["interpolation"])


def _up_sampling(call: Call) -> int:
    height, width, _ = call.map_shape()
    down, right = call.pair("size")
    return _resized(call, call.x, (down * height, right * width), call.config["interpolation"])


def _cropped(call: Call, size: tuple[int, int], *, part: str = "") -> int:
    """Keep the middle of a map, an odd row or column more at the end."""
    height, width, _ = call.map_shape()
    rows, columns = height - size[0], width - size[1]
    if not (rows or columns):
        return call.x
    sides = (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    return call.add(ops.Crop(sides), call.x, part=part)


def _random_crop(call: Call) -> int:
    # As documented for what is no training: the largest window of the wanted form, brought to the size.
    height, width, _ = call.map_shape()
    wanted = (int(call.config["height"]), int(call.config["width"]))
    window = (
        max(1, min(height, width * wanted[0] // wanted[1])),
        max(1, min(width, height * wanted[1] // wanted[0])),
    )
    x = _cropped(call, window, part="crop" if window != wanted else "")
    return _resized(call, x, wanted, "bilinear")


def _center_crop(call: Call) -> int:
    height, width, _ = call.map_shape()
    wanted = (int(call.config["height"]), int(call.config["width"]))
    if wanted[0] > height or wanted[1] > width:
        return _random_crop(call)
    return _cropped(call, wanted)


def _permute(call: Call) -> int:
    dims = [int(n) for n in call.config["dims"]]
    if dims == list(range(1, len(call.shape) + 1)):
        return call.x
    if len(dims) != 3:
        call.refuse(f"permutes {call.shape}")
    first, second, third = dims
    return call.add(ops.Permute((first, second, third)), call.x)


def _pool(method: Any) -> Callable[[Call], int]:
    def read(call: Call) -> int:
        call.map_shape()
        kernel, stride = call.pair("pool_size"), call.pair("strides")
        return call.add(ops.Pool(method, kernel, stride, call.padding(kernel, stride)), call.x)

    return read


def _global_pool(method: Any) -> Callable[[Call], int]:
    def read(call: Call) -> int:
        call.map_shape()
        return call.add(ops.GlobalPool(method, bool(call.config.get("keepdims"))), call.x)

    return read


def _flatten(call: Call) -> int:
    return call.add(ops.Flatten(), call.x) if len(call.shape) > 1 else call.x


def _reshape(call: Call) -> int:
    target, before = [int(n) for n in call.config["target_shape"]], call.shape
    if -1 in target:
        rest = prod(n for n in target if n != -1)
        target[target.index(-1)] = prod(before) // max(1, rest)
    shape = tuple(target)
    if shape == before:
        return call.x
    if len(shape) == 1:
        return call.add(ops.Flatten(), call.x)
    return call.add(ops.Reshape(shape), call.x)


SHAPES: Final[Mapping[str, Callable[[Call], int]]] = {
    "ZeroPadding2D": _zero_pad,
    "Cropping2D": _crop,
    "Resizing": _resizing,
    "UpSampling2D": _up_sampling,
    "RandomCrop": _random_crop,
    "CenterCrop": _center_crop,
    "Permute": _permute,
    "MaxPooling2D": _pool("max"),
    "AveragePooling2D": _pool("avg"),
    "GlobalMaxPooling2D": _global_pool("max"),
    "GlobalAveragePooling2D": _global_pool("avg"),
    "Flatten": _flatten,
    "Reshape": _reshape,
}
"""By class name."""
