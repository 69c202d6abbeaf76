"""What is installed: spaces and baselines, this project's and third parties', found by entry point."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from archsearch.errors import ArchsearchError, UserError
from archsearch.space.baselines import Baseline
from archsearch.space.space import Space

SPACES = "archsearch.spaces"
BASELINES = "archsearch.baselines"


def load_spaces() -> dict[str, Space]:
    """Return all spaces by name, sorted."""
    found: dict[str, Space] = {}
    for point in sorted(entry_points(group=SPACES), key=lambda p: p.name):
        space = _load(point)
        if not isinstance(space, Space):
            raise ArchsearchError(f"entry point {point.name} = {point.value} is no Space")
        if point.name in found:
            raise ArchsearchError(f"two packages install a space named {point.name!r}")
        found[point.name] = space
    return found


def load_baselines() -> dict[str, Baseline]:
    """Return all baselines by name, family by family."""
    found: dict[str, Baseline] = {}
    for point in sorted(entry_points(group=BASELINES), key=lambda p: p.name):
        for name, baseline in _load(point).items():
            if name in found:
                raise ArchsearchError(f"two packages install a baseline named {name!r}")
            found[name] = baseline
    return found


def find_space(name: str) -> Space:
    """Return one space, loading no other.

    Raises:
        UserError: there is none of that name.
    """
    for point in entry_points(group=SPACES, name=name):
        space: Space = _load(point)
        return space
    raise UserError(_unknown("space", name, (p.name for p in entry_points(group=SPACES))))


def find_baseline(name: str) -> Baseline:
    """Return one baseline.

    Raises:
        UserError: there is none of that name.
    """
    baselines = load_baselines()
    if name not in baselines:
        raise UserError(_unknown("baseline", name, baselines))
    return baselines[name]


def _load(point: EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:  # a broken plug-in must not look like a broken archsearch
        raise ArchsearchError(f"entry point {point.name} = {point.value}: {error}") from error


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    return f"no {what} is named {name!r}; {hint}"
