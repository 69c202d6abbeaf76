"""The plan of a run, measured before its first trial; and the workers it is measured on."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from archsearch.archive.databases import default_url, missing, opened
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.engines.engine import Engine
from archsearch.gathering import unheeded
from archsearch.planning.calibration import Calibrated, Calibration
from archsearch.planning.earlier import learnt_from, told
from archsearch.planning.earlier_durations import ByPlatform, durations_by, nothing
from archsearch.planning.forecast import Forecast
from archsearch.planning.full_training import pose_training
from archsearch.planning.going_on import Kept
from archsearch.planning.pace import MEASURE_S
from archsearch.planning.problem import Problem, pose
from archsearch.settings import RunSettings
from archsearch.strategy.phase import Phase
from archsearch.study.events import Event, Measuring, Planned, Preparing
from archsearch.study.in_full.subject import find_subject
from archsearch.study.interrupt import Interrupted, Interrupts
from archsearch.study.loop import Loop
from archsearch.study.opening import check_start, located
from archsearch.study.ports import Services, real_services
from archsearch.study.recorder import PaceRecorder

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_QUIET_S: Final = 2.0
_EVERY_S: Final = 0.5


def plan(
    settings: RunSettings,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> Forecast:
    """Return what `run` would take, measured on this machine; no study is made.

    Raises:
        UserError: something asked for does not work.
    """
    settings = located(settings)
    check_start(settings)
    services = services or real_services(settings)
    began = services.clock()
    problem = posed(settings, services, on_event)
    with (
        Interrupts() as interrupts,
        TemporaryDirectory(prefix="archsearch-") as place,
        _earlier(settings) as storage,
    ):
        learns = () if storage is None else _learns(storage, settings, problem)
        durations = nothing if storage is None else durations_by(storage, settings)
        folder = StudyFolder(Path(place), "plan")
        folder.create()
        measuring = _calibration(
            services, folder, interrupts, on_event, began=began, durations=durations
        )
        with measuring.run(problem) as measured:
            found = measured.forecast
        if interrupts.requested:
            raise KeyboardInterrupt
    # A run tells these as it starts.
    return replace(found, notes=(*problem.notes, *learns, *found.notes))


@contextmanager
def _earlier(settings: RunSettings) -> "Iterator[BaseStorage | None]":
    """Give the storage that a run's study would be in; None: there is none yet."""
    url = settings.storage or default_url(Path(settings.home))
    if missing(url):
        yield None
        return
    with opened(url) as storage:
        yield storage


def _learns(storage: "BaseStorage", settings: RunSettings, problem: Problem) -> tuple[str, ...]:
    """Return from which studies a run would learn; of those that can't be read a line, too."""
    said: list[str] = []
    learnt = learnt_from(storage, settings, problem, tell=said.append)
    return (*said, *told(learnt))


def posed(
    settings: RunSettings,
    services: Services,
    on_event: Callable[[Event], None],
    *,
    kept: Kept | None = None,
) -> Problem:
    """Return the problem on the engine's machine, and tell what takes long (see `planning.problem.pose`)."""
    machine, progress, notes = (
        services.find_machine(), slow_progress(on_event), unheeded(os.environ),
    )  # fmt: skip
    if settings.network is None:
        return pose(settings, machine, kept=kept, progress=progress, notes=notes)
    subject = find_subject(settings)
    return pose_training(settings, machine, subject, kept=kept, progress=progress, notes=notes)


@contextmanager
def calibrated(
    problem: Problem,
    folder: StudyFolder,
    services: Services,
    interrupts: Interrupts,
    on_event: Callable[[Event], None],
    *,
    began: float,
    store: StudyStore | None,
    durations: ByPlatform,
) -> Iterator[Calibrated]:
    """Start workers, measure the pace on them, and tell what the run will take.

    Raises:
        Interrupted: the user stopped a new run meanwhile.
    """
    measuring = _calibration(
        services, folder, interrupts, on_event, began=began, store=store, durations=durations
    )
    with measuring.run(problem) as found:
        if interrupts.requested and store is None:
            raise Interrupted("interrupted before the first trial; the same command starts anew")
        on_event(Planned(forecast=found.forecast))
        yield found


def _calibration(
    services: Services,
    folder: StudyFolder,
    interrupts: Interrupts,
    on_event: Callable[[Event], None],
    *,
    began: float,
    store: StudyStore | None = None,
    durations: ByPlatform,
) -> Calibration:
    """Return what starts the workers of a run that `began` on the services' clock, and measures them."""

    def drive(engine: Engine, problem: Problem, phase: Phase, stopped: Callable[[], bool]) -> None:
        recorder = PaceRecorder(problem.job, seconds=MEASURE_S)
        loop = Loop(engine, recorder, clock=services.clock, stopped=stopped, halts=False)
        loop.run(phase)

    return Calibration(
        open_engine=lambda sharing: services.engine(sharing.setups, folder),
        drive=drive,
        clock=services.clock,
        began=began,
        stopped=lambda: interrupts.requested,
        tell=lambda text: on_event(Measuring(text=text)),
        store=store,
        durations=durations,
    )


def slow_progress(on_event: Callable[[Event], None]) -> Callable[[int, int], None]:
    """Return what tells of images, but only after a while, and not of every one."""
    next_s = time.monotonic() + _QUIET_S

    def progress(done: int, images: int) -> None:
        nonlocal next_s
        now = time.monotonic()
        if now >= next_s:
            next_s = now + _EVERY_S
            on_event(Preparing(done=done, images=images))

    return progress
