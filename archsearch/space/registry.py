"""What is installed: spaces and baselines, this project's and third parties', found by entry point."""

from collections.abc import Mapping
from typing import Final

from archsearch import plugins
from archsearch.space.baselines import Baseline
from archsearch.space.space import Space

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
    """Return one space, loading no other.

    Raises:
        UserError: there is none of that name.
    """
    space: Space = plugins.find(SPACES, name, what="space", kind=Space)
    return space


def find_baseline(name: str) -> Baseline:
    """Return one baseline.

    Raises:
        UserError: there is none of that name.
    """
    baselines = load_baselines()
    if name not in baselines:
        raise plugins.unknown(name, baselines, "baseline")
    return baselines[name]
