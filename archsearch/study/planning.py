"""The plan of a run before its first trial, and whether it fits into its bounds."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from archsearch.errors import UserError
from archsearch.settings import RunSettings
from archsearch.study.baselines import scaled_up
from archsearch.study.events import Event, Notice, Preparing
from archsearch.study.folder import StudyFolder
from archsearch.study.forecast import Forecast, Pace, calibrate, forecast, timed
from archsearch.study.interrupt import Interrupts
from archsearch.study.limits import Limits, limits_of, spent_flops
from archsearch.study.prepared import Prepared, prepare_run
from archsearch.study.result import final_outcomes
from archsearch.study.services import Services, real_services
from archsearch.study.storage import StudyStore
from archsearch.units import format_count, format_time

MEASURING: Final = "measuring how fast this machine trains"
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
        engine = services.engine(prepared.setups, folder)
        try:
            on_event(Notice(text=MEASURING))
            pace = calibrate(engine, prepared, stopped=lambda: interrupts.requested)
        finally:
            engine.close()
        if interrupts.requested:
            raise KeyboardInterrupt
    found = expected(prepared, pace, workers=engine.workers, elapsed_s=services.clock() - began)
    # A run tells these as it starts.
    return replace(found, notes=(*prepared.dataset.notes, *found.notes))


def expected(
    prepared: Prepared,
    pace: Pace | str,
    *,
    workers: int,
    elapsed_s: float,
    store: StudyStore | None = None,
) -> Forecast:
    """Return what a run will take: one that is new, or what is left of a study.

    `pace` is as measured, or says why there is none; `elapsed_s` is what the run has taken so far.
    """
    counted = forecast(
        prepared,
        workers=workers,
        trials_done=0 if store is None else sum(trial.finished for trial in store.trials),
        finals_done=0 if store is None else len(final_outcomes(store)),
    )
    counted = replace(counted, notes=(*counted.notes, *scaled_up(prepared.published)))
    if isinstance(pace, Pace):
        return timed(counted, pace, prepared, elapsed_s=elapsed_s)
    note = f"how long it takes is not known: {pace}"
    return replace(counted, notes=(*counted.notes, note))


def bounds(
    settings: RunSettings,
    found: Forecast,
    *,
    store: StudyStore | None,
    clock: Callable[[], float],
    began: float,
) -> Limits:
    """Return the account of the run's bounds; what a resumed study has spent is counted in.

    Raises:
        UserError: not even one trial and its final fit.
    """
    limits = limits_of(settings, found, clock=clock)
    limits.began = began
    if store is not None:
        limits.began -= store.attributes.get("wall_s", 0.0)
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
