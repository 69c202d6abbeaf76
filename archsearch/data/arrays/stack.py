"""Arrays of images and labels, checked, on one scale and as bytes, one beside the other."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.arrays.labels import class_names, flat, number, unfinite
from archsearch.data.arrays.pairs import Pair, Shape, find_pairs, plain
from archsearch.data.arrays.ranges import (
    BYTES,
    MOST,
    UNIT,
    WORDS,
    Range,
    Spread,
    choose_range,
    said,
    spread_of,
    together,
)
from archsearch.data.dataset import Images, Labels
from archsearch.errors import DataError
from archsearch.units import printable

_KINDS: Final = {"b": "flags", "u": "integers", "i": "integers", "f": "floats"}
_USUAL: Final[Mapping[str, tuple[Range, ...]]] = {
    "flags": (UNIT,),
    "integers": (BYTES, WORDS),
    "floats": (UNIT, BYTES),
}
_CHANNELS: Final = frozenset({1, 3, 4})


@dataclass(frozen=True, slots=True)
class Stored:
    """The arrays of a file that a data set is made of, and the names of the others."""

    arrays: Mapping[str, npt.NDArray[Any]]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stack:
    """Arrays of images, checked and as bytes, one beside the other.

    Attributes:
        images: (n, H, W, C) uint8 of each pair.
        pairs: whose they are.
        labels: class numbers of all of them.
        classes: names of the classes.
        notes: what a person should hear about the reading.
        reading: what was found out that name and type alone do not say; "" where there is nothing.
    """

    images: tuple[Images, ...]
    pairs: tuple[Pair, ...]
    labels: Labels
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    reading: str


def stack(stored: Stored, *, where: str) -> Stack:
    """Check arrays named as in an .npz file, and turn the images into bytes.

    Raises:
        DataError: an array is missing, malformed, or does not fit the others.
    """
    arrays, notes = stored.arrays, []
    pairs = find_pairs({key: array.shape for key, array in arrays.items()}, where)
    names = class_names(arrays, where)
    raw = {pair.images: _as_nhwc(arrays[pair.images], f"{where}: {pair.images}") for pair in pairs}
    first = raw[pairs[0].images]
    for key, array in raw.items():
        if array.shape[1:] != first.shape[1:]:
            raise DataError(
                f"{where}: {key} holds images {array.shape[1:]} and {pairs[0].images} "
                f"{first.shape[1:]}; all must have one shape"
            )
    notes += _turned({key: arrays[key] for key in raw}, raw)
    scales = _scales(raw, where, notes)
    flat_labels = [
        flat(arrays[p.labels], len(raw[p.images]), f"{where}: {p.labels}", p.images) for p in pairs
    ]
    labels, classes = number(flat_labels, pairs, names, where)
    if not plain(pairs):
        notes.append("read as images and labels: " + "; ".join(map(_pair_text, pairs)))
    if stored.left_out:
        notes.append(f"arrays left out: {', '.join(stored.left_out[:10])}")
    return Stack(
        images=tuple(_as_bytes(raw[pair.images], scales) for pair in pairs),
        pairs=pairs,
        labels=labels,
        classes=classes,
        notes=tuple(notes),
        reading=_reading(pairs, raw, scales),
    )


def _as_nhwc(x: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if x.dtype.kind not in _KINDS:
        raise DataError(f"{where} holds {x.dtype} values; images are uint8 or float numbers")
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4:
        raise DataError(
            f"{where} has shape {x.shape}; wanted (images, height, width, channels) or "
            f"(images, height, width){_unflattened(x.shape)}"
        )
    if 0 in x.shape:
        raise DataError(f"{where} has shape {x.shape}: there is nothing in it")
    if x.shape[3] not in _CHANNELS and x.shape[1] in _CHANNELS:
        x = x.transpose(0, 2, 3, 1)
    if x.shape[3] not in _CHANNELS:
        raise DataError(f"{where} has shape {x.shape}; wanted 1, 3 or 4 channels, as the last axis")
    if x.dtype.kind == "f" and not (np.isfinite(x.min()) and np.isfinite(x.max())):
        raise DataError(f"{where} holds {unfinite(x)} values that are NaN or infinite")
    if x.dtype.kind == "f" and max(abs(float(x.min())), abs(float(x.max()))) > MOST:
        raise DataError(
            f"{where} runs from {float(x.min()):g} to {float(x.max()):g}; wanted pixels, of any scale "
            f"within ±{MOST:g}"
        )
    return x


def _unflattened(shape: Shape) -> str:
    """Say how rows of pixels become images, where their length is that of a square."""
    for channels in (1, 3) if len(shape) == 2 else ():
        side = math.isqrt(shape[1] // channels)
        if side > 1 and side * side * channels == shape[1]:
            axes = f"{side}, {side}" if channels == 1 else f"{side}, {side}, {channels}"
            return f"; try x.reshape(-1, {axes})"
    return ""


def _turned(
    arrays: Mapping[str, npt.NDArray[Any]], raw: Mapping[str, npt.NDArray[Any]]
) -> list[str]:
    for key, array in arrays.items():
        if array.ndim == 4 and array.shape != raw[key].shape:
            first = array.shape[1]
            return [
                f"the arrays have their channels first ({first} of them), and were turned round"
            ]
    return []


def _scales(raw: Mapping[str, npt.NDArray[Any]], where: str, notes: list[str]) -> dict[str, Range]:
    """Find one range for all integers and one for all floats; bytes are what they are."""
    spreads: dict[str, dict[str, Spread]] = {}
    for key, array in raw.items():
        if array.dtype != np.uint8:
            spreads.setdefault(_KINDS[array.dtype.kind], {})[key] = spread_of(array)
    scales: dict[str, Range] = {}
    for kind, parts in spreads.items():
        whole = together(list(parts.values()))
        scale = scales[kind] = choose_range(whole, _USUAL[kind])
        for key, part in parts.items():
            if part.lost_on(scale):
                raise DataError(
                    f"{where}: {key} runs from {part.low:g} to {part.high:g} only, other {kind} here "
                    f"up to {whole.high:g}; write all in one scale"
                )
        if scale not in {UNIT, BYTES}:
            notes.append(said(whole, scale, f"{kind}"))
    return scales


def _as_bytes(x: npt.NDArray[Any], scales: Mapping[str, Range]) -> Images:
    if x.dtype == np.uint8:
        return np.ascontiguousarray(x)
    scale = scales[_KINDS[x.dtype.kind]]
    return scale.to_bytes(x)


def _reading(
    pairs: Sequence[Pair], raw: Mapping[str, npt.NDArray[Any]], scales: Mapping[str, Range]
) -> str:
    """Write down what differs from the plain reading, by which older prepared folders were made.

    That was: floats in 0..1 by the first array are of 0..1, all else is of 0..255.
    """
    found = []
    for kind, scale in scales.items():
        first = next(
            x for x in raw.values() if x.dtype != np.uint8 and _KINDS[x.dtype.kind] == kind
        )
        unit = kind == "flags" or (kind == "floats" and first.min() >= 0 and first.max() <= 1)
        if scale != (UNIT if unit else BYTES):
            found.append(f"{kind} {scale}")
    if not plain(tuple(pairs)):
        found.append("; ".join(map(_pair_text, pairs)))
    return ", ".join(found)


def _pair_text(pair: Pair) -> str:
    return f"{printable(pair.images)}, {printable(pair.labels)}"
