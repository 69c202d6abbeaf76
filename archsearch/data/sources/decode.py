"""An image, whatever its format, becomes uint8 pixels of the size asked for."""

import math
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from archsearch.data.arrays.ranges import WORDS, Range
from archsearch.data.dataset import Images
from archsearch.data.sources.items import BadImageError, Resize, Size

_T = TypeVar("_T")

SUFFIXES: Final = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif"}
    | {".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".jp2", ".j2k", ".jpx"}
)
# Pillow reads many more; formats with a history of surprises (EPS runs Ghostscript) stay out.
_FORMATS: Final = (
    *("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM"),
    *("AVIF", "JPEG2000"),
)
_NOT_READ: Final = "images of a format that is not read here; convert them to PNG or JPEG"
_MEDICAL: Final = "medical images; convert them to 16-bit PNG, which keeps their range"
UNREAD: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        (".heic", ".heif", ".jxl", ".svg", ".psd", ".tga", ".ico", ".eps", ".exr", ".hdr", ".dds"),
        _NOT_READ,
    ),
    **dict.fromkeys((".cr2", ".nef", ".arw", ".dng", ".raw"), _NOT_READ),
    **dict.fromkeys((".dcm", ".nii", ".mha", ".nrrd"), _MEDICAL),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv"), "films; save their frames as images"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".7z", ".rar"), "archives; unpack them"),
}
"""Suffixes of files that hold images which are not read, with what to do about them."""
# Pillow's own limit against decompression bombs: a quarter of a gigabyte of RGB pixels.
MAX_PIXELS: Final = 89_478_485
_LARGE_PIXELS: Final = 25_000_000

_ORIENTATION_TAG: Final = 0x0112
# EXIF orientation → how to turn the stored pixels so that they stand upright (EXIF 2.32, 4.6.4).
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})


@contextmanager
def pillow() -> Iterator[None]:
    """Pillow set up for decoding in threads: plugins loaded, warnings kept off the terminal.

    Filters are process-wide, so this is entered once, around the threads and not inside them.
    """
    Image.init()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        # Pillow only warns up to twice its limit; `open_image` looks at the size itself.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def decode_file(
    path: str | os.PathLike[str],
    size: Size,
    *,
    resize: Resize = "crop",
    ranges: Mapping[str, Range] | None = None,
    large: AbstractContextManager[object] | None = None,
) -> Images:
    """Read an image file as uint8 (H, W, C) of that size; animations give their first frame.

    Transparency is laid on white, greys of more than 8 bits are scaled to 8, EXIF rotation is undone.

    Args:
        path: the file.
        size: height, width, channels.
        resize: `crop` scales the image to cover the size and cuts off at the edges what is too much, so
            that nothing is distorted; `squash` scales each side by itself, so that nothing is cut off.
        ranges: which values become 0..255, by the `deep_kind` of the file; integers are of 0..65535 and
            floats are refused without.
        large: a lock that threads share, held while an image is decoded that takes 100 MB and
            more, so that many of them at once do not fill the memory.

    Raises:
        BadImageError: it can't be read as an image.
    """
    with open_image(path) as image:
        is_large = image.width * image.height > _LARGE_PIXELS
        with large if large and is_large else nullcontext():
            return _guard(lambda: _decode(image, size, resize, ranges))


@contextmanager
def open_image(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """Open an image file, reading only its header.

    Raises:
        BadImageError: no regular file, empty, no image, or too many pixels.
    """
    Image.init()
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe would wait for ever
            raise BadImageError("not a regular file")
        if facts.st_size == 0:
            raise BadImageError("empty file")
        file = Path(path).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise BadImageError((error.strerror or str(error)).lower()) from error
    except ValueError as error:  # a NUL in the name
        raise BadImageError(str(error)) from error
    with file:
        image = _guard(lambda: Image.open(file, formats=_formats()))
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise BadImageError(
                f"claims {width}x{height} pixels, more than {MAX_PIXELS:,}: a decompression bomb?"
            )
        if 0 in image.size:
            raise BadImageError("an image without pixels")
        yield image


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that this Pillow was built with."""
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height after EXIF rotation."""
    width, height = image.size
    return (height, width) if _orientation(image) in _SIDEWAYS else (width, height)


def is_grey(image: Image.Image) -> bool:
    """Whether the file stores one colour channel."""
    return image.mode in {"1", "L", "LA", "La"} or deep_kind(image.mode) is not None


def frame_count(image: Image.Image) -> int:
    """Count the pictures in a file: frames of an animation, pages of a TIFF."""
    return _guard(lambda: int(getattr(image, "n_frames", 1)))


def deep_kind(mode: str) -> str | None:
    """Tell the kind of a grey of more than 8 bits: `I` integers, `F` floats; None for other modes."""
    return mode[0] if mode.startswith(("I", "F")) else None


def raw_values(image: Image.Image) -> npt.NDArray[Any]:
    """Decode a deep grey as the numbers it holds (H, W).

    Raises:
        BadImageError: it can't be decoded, or holds values that are NaN or infinite.
    """
    values = _guard(lambda: np.asarray(image))
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise BadImageError("floating-point pixels that are NaN or infinite")
    return values


def fit_array(pixels: Images, size: Size, resize: Resize = "crop") -> Images:
    """Bring an array (H, W, C) to another size, as `decode_file` does it.

    Raises:
        BadImageError: the channels can't be turned into those asked for.
    """
    if pixels.shape == size:
        return pixels
    height, width, channels = size
    if pixels.shape[2] == channels and channels not in {1, 3}:
        planes = [
            fit_array(pixels[:, :, c : c + 1], (height, width, 1), resize) for c in range(channels)
        ]
        return np.concatenate(planes, axis=2)
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if pixels.shape[2] not in modes or channels not in {1, 3}:
        raise BadImageError(f"{pixels.shape[2]} channels can't be turned into {channels}")
    plain = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    return _decode(Image.fromarray(np.ascontiguousarray(plain)), size, resize)


def read_pixels(image: Image.Image, ranges: Mapping[str, Range] | None = None) -> Images:
    """Decode at the image's own size, upright, as RGB (H, W, 3): what comparisons look at."""
    width, height = upright_size(image)
    return _guard(lambda: _decode(image, (height, width, 3), ranges=ranges))


def _decode(
    image: Image.Image,
    size: Size,
    resize: Resize = "crop",
    ranges: Mapping[str, Range] | None = None,
) -> Images:
    height, width, channels = size
    turn = _orientation(image)
    if turn in _SIDEWAYS:
        height, width = width, height
    scale = max(width / image.width, height / image.height)
    if image.format in {"JPEG", "MPO"} and scale < 0.5:
        # libjpeg scales by 1/2, 1/4, 1/8 while decoding, several times faster; two times the
        # size wanted is kept, so that the resampling below still decides the quality.
        image.draft(None, (math.ceil(image.width * scale * 2), math.ceil(image.height * scale * 2)))
    image = _resampleable(image, ranges or {})
    if image.size != (width, height):
        image = image.resize(
            (width, height),
            Image.Resampling.BICUBIC,
            box=_kept(image.size, (width, height), resize),
            reducing_gap=3.0,
        )
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if turn in _UPRIGHT:
        image = image.transpose(_UPRIGHT[turn])
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"), dtype=np.uint8)
    return pixels[:, :, None] if channels == 1 else pixels


def _kept(
    size: tuple[int, int], wanted: tuple[int, int], resize: Resize
) -> tuple[float, float, float, float]:
    """Return the part of an image (width, height) that is kept: left, top, right, bottom."""
    width, height = size
    if resize == "squash":
        return 0.0, 0.0, float(width), float(height)
    scale = max(wanted[0] / width, wanted[1] / height)
    left = max(0.0, (width - wanted[0] / scale) / 2)
    top = max(0.0, (height - wanted[1] / scale) / 2)
    return left, top, width - left, height - top


def _resampleable(image: Image.Image, ranges: Mapping[str, Range]) -> Image.Image:
    """Convert to L, RGB or RGBA, the modes in which resampling means something."""
    if kind := deep_kind(image.mode):
        values = raw_values(image)
        scale = ranges.get(kind, WORDS if kind == "I" else None)
        if scale is None:
            raise BadImageError("floating-point pixels, whose range nobody knows")
        if kind not in ranges and (values.min() < 0 or values.max() > WORDS.high):
            raise BadImageError("32-bit pixels outside 0..65535")
        return Image.fromarray(scale.to_bytes(values))
    if image.mode in {"RGBA", "RGBa", "LA", "La", "PA"} or "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    image.load()
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a broken EXIF block must not cost the picture beside it
        return 1


def _guard(work: Callable[[], _T]) -> _T:
    """Run Pillow on bytes nobody vouches for; whatever it raises is a fault of the image."""
    try:
        return work()
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        raise BadImageError("not an image") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"a decompression bomb? {error}") from error
    except MemoryError as error:
        raise BadImageError("does not fit in memory") from error
    except Exception as error:  # decoders raise nearly every type there is
        reason = " ".join(str(error).split()) or type(error).__name__
        raise BadImageError(reason) from error
