"""What follows from its arguments alone is worked out once a session, however many studies ask for it.

Tests of these functions call them where they are defined, and so as they are.
"""

import sys
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from importlib.metadata import EntryPoints, entry_points
from typing import Any, Final

import pytest
from alembic.script import ScriptDirectory

KEPT: Final = 4096
"""Networks that are remembered, the latest."""


@pytest.fixture(scope="session", autouse=True)
def _once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for remember in (_packages, _migrations, _networks):
            remember(patch)
        yield


def _packages(patch: pytest.MonkeyPatch) -> None:
    """What is installed on a path doesn't change while tests run."""
    from archsearch import plugins

    @cache
    def found(path: tuple[str, ...], **asked: str) -> EntryPoints:
        return entry_points(**asked)

    patch.setattr(plugins, "entry_points", lambda **asked: found(tuple(sys.path), **asked))


def _migrations(patch: pytest.MonkeyPatch) -> None:
    """Optuna and MLflow read all their migrations of tables as often as they open a database."""
    read, known = ScriptDirectory.from_config, {}

    def from_config(config: Any) -> ScriptDirectory:
        place = config.get_main_option("script_location")
        return known.get(place) or known.setdefault(place, read(config))

    patch.setattr(ScriptDirectory, "from_config", from_config)


def _networks(patch: pytest.MonkeyPatch) -> None:
    """Most studies here are of one space and one budget: they choose from the same networks."""
    from archsearch.planning import problem
    from archsearch.space.solve import solve
    from archsearch.strategy import novelty
    from archsearch.strategy.samplers import descriptions
    from archsearch.study import conduct
    from tests import bench

    solved = _by_knobs(solve)
    for module in (problem, conduct, bench):
        patch.setattr(module, "solve", solved)
    for module, name in (
        (descriptions, "features"),
        (descriptions, "audit"),
        (descriptions, "content_hash"),
        (novelty, "content_hash"),
    ):
        patch.setattr(module, name, lru_cache(KEPT)(getattr(module, name)))


def _by_knobs(solve: Callable[..., Any]) -> Callable[..., Any]:
    @lru_cache(KEPT)
    def known(space: Any, knobs: tuple[Any, ...], request: Any, within: Any) -> Any:
        return solve(space, {name: value for name, _, value in knobs}, request, within=within)

    def solved(space: Any, knobs: Any, request: Any, *, within: Any = None) -> Any:
        # True == 1 in Python; a knob's values are told apart by type, too.
        told = tuple((name, type(value), value) for name, value in knobs.items())
        return known(space, told, request, within)

    return solved
