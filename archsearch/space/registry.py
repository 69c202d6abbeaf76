"""What is installed: spaces and baselines, this project's and third parties', found by entry point."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from archsearch import plugins
from archsearch.errors import UserError
from archsearch.space.baselines import Baseline
from archsearch.space.space import Space
from archsearch.space.union import UnionSpace, union_of

SPACES: Final = "archsearch.spaces"
BASELINES: Final = "archsearch.baselines"


def load_spaces() -> dict[str, Space]:
    """Return all spaces by name, sorted."""
    return plugins.load(SPACES, what="space", kind=Space)


def load_baselines() -> dict[str, Baseline]:
    """Return all baselines by name, family by family."""
    found: dict[str, Baseline] = {}
    families = plugins.load(BASELINES, what="family of baselines", kind=Mapping)
    for family in families.values():
        for name, baseline in family.items():
            if name in found:
                raise plugins.second(name, "baseline")
            found[name] = baseline
    return found


def find_space(name: str) -> Space:
    """Return one space, loading no other; of several names (`vgg,resnext`) their union.

    Raises:
        UserError: there is none of that name; a name is there twice, or has several families already.
    """
    names = [part.strip() for part in name.split(",")]
    if len(names) > 1:
        if not all(names):
            given = ",".join(filter(None, names)) or "vgg,resnext"
            raise UserError(f"spaces {name!r} have a comma too many; write {given}")
        return union_of(tuple(_families(names)))
    space: Space = plugins.find(SPACES, name, what="space", kind=Space)
    return space


def _families(names: Sequence[str]) -> Iterator[Space]:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"space {name!r} is there twice; name each one once")
        space = find_space(name)
        if isinstance(space, UnionSpace):
            raise UserError(
                f"{name} is a union of families already; name families of their own: "
                f"{', '.join(space.families)}"
            )
        yield space


def find_baseline(name: str) -> Baseline:
    """Return one baseline.

    Raises:
        UserError: there is none of that name.
    """
    baselines = load_baselines()
    if name not in baselines:
        raise plugins.unknown(name, baselines, "baseline")
    return baselines[name]
