"""What packages install for this one, found by entry point: this project's own parts and third parties'."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from archsearch.errors import ArchsearchError, UserError


def load(group: str, *, what: str, kind: type[Any] = object) -> dict[str, Any]:
    """Return all that is installed in a group, by name, sorted.

    Args:
        group: the entry points' group: `archsearch.spaces`.
        what: one of them in a word, for errors: `space`.
        kind: what each has to be.

    Raises:
        ArchsearchError: one cannot be loaded, is no `kind`, or has the name of another.
    """
    points = sorted(entry_points(group=group), key=lambda point: point.name)
    found: dict[str, Any] = {}
    for point in points:
        if point.name in found:
            raise second(point.name, what)
        found[point.name] = _load(point, kind)
    return found


def find(group: str, name: str, *, what: str, kind: type[Any] = object) -> Any:
    """Return the one of a group that has this name, loading no other.

    Raises:
        UserError: there is none; says the nearest.
        ArchsearchError: it cannot be loaded, is no `kind`, or two packages have one.
    """
    points = list(entry_points(group=group, name=name))
    if not points:
        raise unknown(name, (point.name for point in entry_points(group=group)), what)
    if len(points) > 1:
        raise second(name, what)
    return _load(points[0], kind)


def unknown(name: str, known: Iterable[str], what: str) -> UserError:
    """Return the error for a name that nothing has, with the nearest one, or with all."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    listed = f"there are {', '.join(names)}" if names else "none is installed"
    return UserError(
        f"no {what} is named {name!r}; {f'did you mean {close[0]}?' if close else listed}"
    )


def second(name: str, what: str) -> ArchsearchError:
    """Return the error for a name that two packages give."""
    return ArchsearchError(f"two packages install a {what} named {name!r}; uninstall one")


def _load(point: EntryPoint, kind: type[Any]) -> Any:
    place = f"entry point {point.name} = {point.value}"
    try:
        value = point.load()
    except Exception as error:  # a broken plug-in must not look like a broken archsearch
        raise ArchsearchError(f"{place}: {error}; update or uninstall its package") from error
    if not isinstance(value, kind):
        raise ArchsearchError(f"{place} is no {kind.__name__}, but {type(value).__name__}")
    return value
