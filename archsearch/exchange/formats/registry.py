"""The formats that are installed, this project's and third parties', found by entry point."""

from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.formats.format import Format

FORMATS: Final = "archsearch.formats"
"""The group of entry points."""


def load_formats() -> dict[str, Format]:
    """Return all formats by name, sorted."""
    found: dict[str, Format] = {}
    for point in sorted(entry_points(group=FORMATS), key=lambda p: p.name):
        if point.name in found:
            raise _twice(point.name)
        found[point.name] = _load(point)
    return found


def find_format(name: str) -> Format:
    """Return one format, loading no other.

    Raises:
        UserError: there is none of that name; says which is meant, or which there are.
        ArchsearchError: the package that brings it is broken, or two packages do.
    """
    points = list(entry_points(group=FORMATS, name=name))
    if len(points) > 1:
        raise _twice(name)
    if points:
        return _load(points[0])
    names = sorted({point.name for point in entry_points(group=FORMATS)})
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    raise UserError(f"no format is named {name!r}; {hint}")


def _load(point: EntryPoint) -> Format:
    named = f"entry point {point.name} = {point.value}"
    try:
        form = point.load()
    except Exception as error:  # a broken plug-in must not look like a broken archsearch
        raise ArchsearchError(f"{named}: {error}") from error
    if not isinstance(form, Format):
        raise ArchsearchError(
            f"{named} is no Format: it lacks a name, suffix, needs, write or call"
        )
    if form.name != point.name:
        raise ArchsearchError(f"{named} is a format named {form.name!r}; the two must be the same")
    return form


def _twice(name: str) -> ArchsearchError:
    return ArchsearchError(f"two packages install a format named {name!r}")
