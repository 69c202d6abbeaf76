"""The studies that a comparison is made of, brought to their ends.

They are ordinary studies, so that `resume`, `leaderboard` and MLflow know them. Their names follow from what
is asked for: the same command again goes on where it stopped.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from archsearch.archive.codec import PLACE
from archsearch.archive.facts import Extension
from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.study_folder import StudyFolder
from archsearch.commands import command
from archsearch.errors import UserError
from archsearch.planning.problem import SearchProblem
from archsearch.settings import RunSettings
from archsearch.study import driver
from archsearch.study.dry_run import posed
from archsearch.study.events import Event
from archsearch.study.interrupt import Interrupted
from archsearch.study.opening import extend, located, stored_settings
from archsearch.study.ports import Services, real_services
from archsearch.units import parse_duration, parse_flops

_LEFT_OPEN: Final = (None, "auto")
"""Values that a study replaces by its own choice."""
_BOUNDS: Final[Mapping[str, Callable[[Any], float]]] = MappingProxyType(
    {"trials": float, "max_time": parse_duration, "search_flops": parse_flops}
)
"""Settings that say how far a study goes, and what reads each; what it finds on its way is the same."""


def check_all(
    asked: Iterable[RunSettings],
    *,
    on_event: Callable[[Event], None],
    services: Services | None,
) -> dict[str, SearchProblem]:
    """Refuse what one of several studies would be refused for before the first of them trains.

    Args:
        asked: of each.
        on_event: told where preparing images takes long.
        services: the outside world; None: the real one.

    Returns:
        What is to be searched in those that are not there yet, by name.

    Raises:
        UserError: something asked for does not work.
    """
    found = {}
    for settings in asked:
        folder = StudyFolder(Path(settings.home), str(settings.name))
        if folder.settings.is_file():
            check_same(stored_settings(str(settings.name), Path(settings.home)), settings)
        else:
            world = services or real_services(settings)
            problem = posed(located(settings), world, on_event)
            assert isinstance(problem, SearchProblem)
            found[str(settings.name)] = problem
    return found


def brought_to_its_end(
    settings: RunSettings, *, on_event: Callable[[Event], None], services: Services | None
) -> StudyResult:
    """Run a study that `check_all` has seen, or go on with it where it stopped; one that has ended is read.

    Where a bound is larger than the study's own, the bounds asked for take their place, and it goes on.

    Args:
        settings: with a name.
        on_event: told what happens.
        services: the outside world; None: the real one, without measuring latency.

    Raises:
        Interrupted: the user stopped it.
        ArchsearchError: no network could be trained.
    """
    name, home = str(settings.name), Path(settings.home)
    services = services or replace(real_services(settings), gauge=None)
    try:
        if not StudyFolder(home, name).settings.is_file():
            return driver.run(settings, on_event=on_event, services=services)
        stored = stored_settings(name, home)
        if _raises(stored, settings):
            bounds = {bound: getattr(settings, bound) for bound in _BOUNDS}
            extend(stored, Extension(**bounds))
        return driver.resume(name, home=home, on_event=on_event, services=services)
    except Interrupted:
        raise Interrupted(f"interrupted in {name}; the same command goes on from here") from None


def check_same(stored: RunSettings, settings: RunSettings) -> None:
    """Refuse to go on with a study that was asked for otherwise, but for its bounds.

    Raises:
        UserError: a setting differs; says which.
    """
    there, here = stored.to_dict(), settings.to_dict()
    # Paths are absolute in what is stored.
    passed = {*PLACE, *_BOUNDS, "name", *(key for key in there if here.get(key) in _LEFT_OPEN)}
    differ = [
        f"{key}: {there.get(key, 'not set')} there, {here.get(key, 'not set')} here"
        for key in dict.fromkeys((*there, *here))
        if key not in passed and not _equal(key, there.get(key), here.get(key))
    ]
    if differ:
        delete = command("delete", str(settings.name), home=Path(settings.home))
        raise UserError(
            f"there is a study {settings.name!r} already, with other settings ({'; '.join(differ)}); "
            f"give this one another --name, or `{delete}`"
        )


def _equal(key: str, stored: object, asked: object) -> bool:
    if key == "data" and isinstance(asked, str) and Path(asked).exists():
        return stored == str(Path(asked).absolute())
    return stored == asked or asked in _LEFT_OPEN


def _raises(stored: RunSettings, asked: RunSettings) -> bool:
    """Whether any bound is larger than the study's own; none at all is the largest."""

    def size(settings: RunSettings, bound: str) -> float:
        value = getattr(settings, bound)
        return math.inf if value is None else _BOUNDS[bound](value)

    return any(size(asked, bound) > size(stored, bound) for bound in _BOUNDS)
