"""The plan of a run before its first trial, and whether it fits into its bounds."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import MORE_TIME
from archsearch.archive.store import StudyStore
from archsearch.errors import UserError
from archsearch.planning.calibration import Calibration
from archsearch.planning.forecast import Forecast
from archsearch.planning.limits import Limits, limits_of, spent_flops
from archsearch.planning.problem import prepare_run
from archsearch.settings import RunSettings
from archsearch.study.events import Event, Measuring, Preparing
from archsearch.study.interrupt import Interrupts
from archsearch.study.ports import Services, real_services
from archsearch.units import format_count, format_time

_QUIET_S: Final = 2.0
_EVERY_S: Final = 0.5


def plan(
    settings: RunSettings,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> Forecast:
    """Say what `run` would take, measured on this device; no study is made.

    Raises:
        UserError: something asked for does not work.
    """
    services = services or real_services()
    began = services.clock()
    prepared = prepare_run(settings, progress=slow_progress(on_event))
    with Interrupts() as interrupts, TemporaryDirectory(prefix="archsearch-") as place:
        folder = StudyFolder(Path(place), "plan")
        folder.create()
        measuring = calibration(services, folder, interrupts, on_event, began=began)
        with measuring.run(prepared) as calibrated:
            found = calibrated.forecast
        if interrupts.requested:
            raise KeyboardInterrupt
    # A run tells these as it starts.
    return replace(found, notes=(*prepared.dataset.notes, *found.notes))


def calibration(
    services: Services,
    folder: StudyFolder,
    interrupts: Interrupts,
    on_event: Callable[[Event], None],
    *,
    began: float,
    store: StudyStore | None = None,
) -> Calibration:
    """Return what starts the workers of a run that `began` on the services' clock, and measures them."""
    return Calibration(
        open_engine=lambda sharing: services.engine(sharing.setups, folder),
        clock=services.clock,
        began=began,
        stopped=lambda: interrupts.requested,
        tell=lambda text: on_event(Measuring(text=text)),
        store=store,
    )


def bounds(
    settings: RunSettings,
    found: Forecast,
    *,
    store: StudyStore | None,
    clock: Callable[[], float],
    began: float,
) -> Limits:
    """Return the account of the run's bounds; what a resumed study has spent is counted in.

    Its time since it was given the bound it has now.

    Raises:
        UserError: not even one trial and its final fit.
    """
    limits = limits_of(settings, found, clock=clock)
    limits.began = began
    if store is not None:
        since_s = store.attributes.get(MORE_TIME, {}).get("wall_s", 0.0)
        limits.began -= store.attributes.get("wall_s", 0.0) - since_s
        limits.spent_flops = spent_flops(store)
    elif not limits.admits_trial():
        needs = [
            f"--max-time {format_time(value)}"
            if key == "max_time"
            else f"--search-flops {format_count(1.01 * value)}"
            for key, value in limits.least().items()
        ]
        raise UserError(
            f"{limits.text} is too little for one trial and its final: give at least "
            f"{' and '.join(needs)}, or fewer --epochs"
        )
    return limits


def slow_progress(on_event: Callable[[Event], None]) -> Callable[[int, int], None]:
    """Tell of images, but only after a while, and not of every one."""
    next_s = time.monotonic() + _QUIET_S

    def progress(done: int, images: int) -> None:
        nonlocal next_s
        now = time.monotonic()
        if now >= next_s:
            next_s = now + _EVERY_S
            on_event(Preparing(done=done, images=images))

    return progress
