"""Pictures of more than 8 bits a value: microscopes, radiographs and thermal cameras write such.

A file of 16 bits rarely holds 16: 12-bit greys, 0..4095, would keep 17 of 256 levels if 65535 became 255.
So the range is found over all images of the data, training and test alike.
"""

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from archsearch.data.arrays.ranges import (
    BYTES,
    UNIT,
    WORDS,
    Range,
    Spread,
    choose_range,
    said,
    spread_of,
    together,
)
from archsearch.data.sources.decode import deep_kind, open_image, pillow, raw_values, read_pixels
from archsearch.data.sources.items import BadImageError
from archsearch.units import counted

_HEAD_BYTES: Final = 64
_SAMPLE: Final = 1 << 20  # values of all images together that stand for the rest
_LOOKED_AT: Final = 16  # colour images of 16 bits that are decoded for a note
_DARK: Final = 64  # of 255: 14 of 16 bits or fewer are used
_USUAL: Final = {"I": (WORDS,), "F": (UNIT, BYTES, WORDS)}
_NOUN: Final = {"I": "greys of more than 8 bits", "F": "floating-point greys"}
_BITS_PER_SAMPLE_TAG: Final = 258  # TIFF 6.0, section 8


@dataclass(frozen=True, slots=True)
class Depths:
    """The range of each kind of deep grey (`I` integers, `F` floats) that the files hold, and notes."""

    ranges: dict[str, Range]
    notes: tuple[str, ...] = ()

    @property
    def reading(self) -> str:
        """What differs from 0..65535 for integers, by which older prepared folders were made."""
        found = {
            kind: scale for kind, scale in self.ranges.items() if (kind, scale) != ("I", WORDS)
        }
        return " ".join(f"{kind} {scale}" for kind, scale in sorted(found.items()))


def ranges_in(content: str) -> dict[str, Range]:
    """Return the ranges that a source's digest names (`Depths.reading`); others are the usual ones."""
    found = re.findall(r"\b([IF]) Range\(low=([^,]+), high=([^)]+)\)", content)
    return {kind: Range(float(low), float(high)) for kind, low, high in found}


def find_depths(paths: Sequence[str]) -> Depths:
    """Find the ranges over all files; those of 8 bits cost a look at their first bytes."""
    with pillow(), ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        may = [
            path
            for path, deep in zip(paths, pool.map(_may_be_deep, paths, chunksize=256), strict=True)
            if deep
        ]
        most = max(64, _SAMPLE // max(1, len(may)))
        looked = list(pool.map(lambda path: _look(path, most), may))
    ranges: dict[str, Range] = {}
    notes = []
    for kind in ("I", "F"):
        spreads = [found for found in looked if isinstance(found, tuple) and found[0] == kind]
        if spreads:
            whole = together([spread for _, spread in spreads])
            ranges[kind] = choose_range(whole, _USUAL[kind])
            if ranges[kind] != WORDS:
                notes.append(said(whole, ranges[kind], f"{_NOUN[kind]}: values"))
    colour = [path for path, found in zip(may, looked, strict=True) if found == "colour"]
    return Depths(ranges, (*notes, *_colour_note(colour)))


def _may_be_deep(path: str) -> bool:
    """Whether a file is of a format, and says of itself, that it may hold more than 8 bits."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):
        return False
    if head.startswith(b"\x89PNG"):
        return head[24:25] == b"\x10"  # IHDR's bit depth (PNG, section 11.2.2)
    starts = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"P2", b"P5", b"P6", b"Pf")
    return head.startswith((*starts, b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51"))


def _look(path: str, most: int) -> tuple[str, Spread] | str | None:
    """Return kind and spread of a deep grey, "colour" for deep colours, None for what is neither."""
    try:
        with open_image(path) as image:
            kind = deep_kind(image.mode)
            if kind is None:
                return "colour" if _is_deep_colour(image) else None
            values = raw_values(image)
    except BadImageError:
        return None
    return kind, spread_of(values, most)


def _is_deep_colour(image: Image.Image) -> bool:
    if image.format == "PNG":
        return True  # only files of 16 bits come here
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE_TAG, (8,))
    return image.mode in {"RGB", "RGBA"} and max(np.atleast_1d(bits)) > 8


def _colour_note(paths: Sequence[str]) -> list[str]:
    if not paths:
        return []
    note = f"{counted(len(paths), 'image')} of 16 bits a colour: the upper 8 are read"
    top = 0
    with pillow():
        for path in paths[:: max(1, len(paths) // _LOOKED_AT)]:
            try:
                with open_image(path) as image:
                    top = max(top, int(read_pixels(image).max()))
            except BadImageError:
                continue
    if top < _DARK:
        note += f", and these reach {top} of 255 only; save them with 8 bits, scaled to 0..255"
    return [note]
