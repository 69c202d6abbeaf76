"""Values as people write them: FLOPs, image sizes, counts, durations, lists of names."""

import os
import re
from itertools import pairwise

from archsearch.errors import UserError

MOST_FLOPS = 10**24
"""A network that trains for a million times ImageNet's 90 epochs of ResNet-50 takes about as many."""
MOST_BYTES = 10**15
"""Of memory; the largest machines have a hundredth of that."""

_PREFIX = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "p": 10**15}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*([kmgtp]?)\s*\Z", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(s|min|m|h|d)\s*\Z", re.IGNORECASE | re.ASCII)
_LATENCY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(us|µs|ms|s)\s*\Z", re.IGNORECASE)
_MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_BREAKS = re.compile(r"([\n\t])")
_LARGE = re.compile(r"\s*\d+(?:[x×]\d+){0,2}\s*\Z", re.IGNORECASE | re.ASCII)
_SIZE = re.compile(
    r"\s*(\d{1,5})(?:[x×](\d{1,5})(?:[x×](\d{1,4}))?)?\s*\Z", re.IGNORECASE | re.ASCII
)


def parse_flops(text: str) -> int:
    """Read `20M`, `4G` or `3.8G` as a number of FLOPs (multiply-adds).

    Raises:
        UserError: the text is no positive quantity, or more than MOST_FLOPS.
    """
    found = _QUANTITY.match(text)
    value = float(found[1]) * _PREFIX[found[2].lower()] if found else 0.0
    if value > MOST_FLOPS:
        shown = text if len(text) <= 30 else f"{text[:29]}…"
        raise UserError(f"{shown!r} is too much: {MOST_FLOPS:.0e} FLOPs at most; write one like 4G")
    if round(value) <= 0:
        raise UserError(f"{text!r} is no number of FLOPs; write one like 20M, 4G or 3.8G")
    return round(value)


def parse_slices(text: str, count: int | None = None) -> tuple[int, ...]:
    """Read `100M,200M,400M`, or `100M:1G` in so many slices, as FLOPs in rising order.

    Those between the ends of a range grow by one factor, rounded to the digits they are written with.

    Returns:
        The caps; none where the text is one budget, `4G` or `3.8G:4.2G`.

    Raises:
        UserError: two are the same, or the count goes with no range.
    """
    low, colon, high = text.partition(":")
    if "," in text:
        if colon or count is not None:
            raise UserError(
                f"budgets {text!r} are slices already; write a range and --slices, or a list"
            )
        found = sorted(map(parse_flops, text.split(",")))
    elif count is None:
        return ()
    elif not colon or count < 2:
        raise UserError(
            f"slices {count} go with a range like 100M:1G, 2 at least, not with {text!r}"
        )
    else:
        least, most = parse_flops(low), parse_flops(high)
        if least > most:
            raise UserError(f"budget {text!r} starts above its end; write {high}:{low}")
        inner = (least * (most / least) ** (step / (count - 1)) for step in range(1, count - 1))
        found = [least, *(parse_flops(format_count(flops)) for flops in inner), most]
    if any(flops >= after for flops, after in pairwise(found)):
        raise UserError(f"the budgets of {text!r} are not all different; give fewer")
    return tuple(found)


def parse_duration(text: str) -> float:
    """Read `90s`, `30min`, `2h` or `1d` as seconds.

    Raises:
        UserError: the text is no positive duration.
    """
    found = _DURATION.match(text)
    seconds = float(found[1]) * _SECONDS[found[2].lower()] if found else 0.0
    if not 0 < seconds < 10**9:
        raise UserError(f"{text!r} is no duration; write one like 90s, 30min, 2h or 1d")
    return seconds


def parse_latency(text: str) -> float:
    """Read `5ms`, `0.8ms`, `300us` or `1s` as milliseconds.

    Raises:
        UserError: the text is no positive latency.
    """
    found = _LATENCY.match(text)
    value = float(found[1]) * _MILLISECONDS[found[2].lower()] if found else 0.0
    if not 0 < value < 10**7:
        raise UserError(f"{text!r} is no latency; write one like 5ms, 0.8ms or 300us")
    return value


def parse_bytes(text: str) -> int:
    """Read `6GB`, `800MB` or `1.5G` as bytes.

    Raises:
        UserError: the text is no positive amount, or more than MOST_BYTES.
    """
    found = _QUANTITY.match(re.sub("b\\s*$", "", text, flags=re.IGNORECASE))
    value = float(found[1]) * _PREFIX[found[2].lower()] if found else 0.0
    if not 1 <= value <= MOST_BYTES:
        raise UserError(f"{text!r} is no amount of memory; write one like 6GB or 800MB")
    return round(value)


def format_memory(count: float) -> str:
    """Write bytes as `1.2 GB` or `340 MB`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def training_flops(flops: int, images: int) -> int:
    """Return the FLOPs of training on `images` images, each of which takes `flops` in a forward pass.

    The backward pass takes about twice as many: the gradients of a layer's input and of its weights cost as
    much as its output each.
    """
    return 3 * flops * images


def parse_input(text: str) -> tuple[int, int, int | None]:
    """Read `224x224x3` (height, width, channels), `224x224` (3 channels) or `224` (a square).

    A square alone leaves the channels to the data: None.

    Raises:
        UserError: the text is no image size, or a side or the channel count is 0.
    """
    found = _SIZE.match(text)
    if not found:
        if _LARGE.match(text):
            raise UserError(
                f"image size {text!r} is too large: a side has at most 99,999 pixels, and an image 9,999 "
                "channels; 224x224x3 is a usual one"
            )
        raise UserError(f"{text!r} is no image size; write height x width x channels: 224x224x3")
    height, width = int(found[1]), int(found[2] or found[1])
    channels = int(found[3] or 3) if found[2] else None
    if 0 in {height, width, channels}:
        raise UserError(f"{text!r} is an empty image; every number must be at least 1")
    return height, width, channels


def parse_image_size(text: str) -> tuple[int, int, int]:
    """Read an image size where no data say how many channels there are: `224` is 224x224x3.

    Raises:
        UserError: as for `parse_input`.
    """
    height, width, channels = parse_input(text)
    return height, width, 3 if channels is None else channels


def printable(text: str | os.PathLike[str]) -> str:
    r"""Write a name of somebody's as one line that a terminal can show.

    Control characters, among them the escape sequences that move a cursor or set colours, and
    marks that turn the reading direction become `\x1b`, `\u202e`; bytes that are no text `\xff`.
    """
    if isinstance(text, str) and text.isprintable():
        return text
    try:
        given = os.fsencode(text)
    except UnicodeEncodeError:  # half a character, as JSON can have it
        given = str(text).encode("utf-8", "surrogatepass")
    whole = given.decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in whole
    )


def printable_lines(text: str) -> str:
    """Write a text of several lines likewise, keeping line breaks and tabs."""
    if text.isprintable():
        return text
    return "".join(
        part if part in ("\n", "\t") else printable(part) for part in _BREAKS.split(text)
    )


def as_markdown(text: str) -> str:
    """Write a name of somebody's so that Markdown, HTML in it included, shows it as it is, on one line."""
    line = printable(" ".join(text.split()))
    for mark in "\\`*_|<[&":
        line = line.replace(mark, "\\" + mark)
    return line


def split_names(text: str) -> tuple[str, ...]:
    """Split a text at its commas, each name once: `a, b`."""
    return tuple(dict.fromkeys(name for name in map(str.strip, text.split(",")) if name))


def format_count(value: float, *, digits: int = 3) -> str:
    """Write a count with a decimal prefix: 4089184256 → `4.09G`."""
    for prefix in ("P", "T", "G", "M", "k"):
        if abs(value) >= _PREFIX[prefix.lower()] * (1 - 0.5 * 10 ** (-digits)):
            scaled = value / _PREFIX[prefix.lower()]
            whole = len(str(int(abs(scaled) + 0.5 * 10 ** (1 - digits))))
            return f"{scaled:.{max(0, digits - whole)}f}{prefix}"
    return f"{value:g}"


def budget_text(flops: int) -> str:
    """Write FLOPs as short as `parse_flops` reads the very same back: `178M`, `1G`."""
    exact = (
        f"{flops / size:.9g}{prefix.upper()}"
        for prefix, size in reversed(_PREFIX.items())
        if flops >= size
    )
    texts = (text.replace("K", "k") for text in exact if "e" not in text)
    return next((text for text in texts if parse_flops(text) == flops), str(flops))


def counted(number: int, noun: str) -> str:
    """Write `1 trial`, `2 trials`, `12,000 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def format_size(shape: tuple[int, ...]) -> str:
    """Write a shape as `224x224x3`."""
    return "x".join(map(str, shape))


def format_ms(value: float) -> str:
    """Write milliseconds with three digits: `0.482`, `4.82`, `48.2`, `482`."""
    for digits, below in ((3, 0.9995), (2, 9.995), (1, 99.95)):
        if value < below:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def ms_text(value: float | None) -> str:
    """Write milliseconds for a table's cell: nothing where they were not measured."""
    return "" if value is None else format_ms(value)


def format_time(seconds: float) -> str:
    """Write a duration as `parse_duration` reads it, rounded up: `90s`, `30min`, `2h`."""
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds <= 100 * size or unit == "h":
            break
    return f"{-int(-seconds // size)}{unit}"


def format_duration(seconds: float) -> str:
    """Write a duration as `45 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
