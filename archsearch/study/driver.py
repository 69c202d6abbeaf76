"""A whole run: data, search, finals, export; and taking up a run that was cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.archive.databases import (
    check_there,
    default_url,
    opened,
    remove_study,
    study_names,
)
from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.archive.lock import locked
from archsearch.archive.patience import Patience
from archsearch.archive.store import StudyStore
from archsearch.errors import MachineError, UserError, what_failed
from archsearch.planning.calibration import Calibrated
from archsearch.planning.limits import bounds_of
from archsearch.planning.problem import Problem, pose
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds
from archsearch.study import opening
from archsearch.study.dry_run import calibration, slow_progress
from archsearch.study.events import Event, Notice, Planned, StudyEnded
from archsearch.study.interrupt import Interrupted, Interrupts
from archsearch.study.ports import Services, real_services
from archsearch.study.retelling import retell
from archsearch.study.session import RunClock, Session

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def run(
    settings: RunSettings,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> StudyResult:
    """Run a new study to its end.

    Args:
        settings: what is asked for.
        on_event: told what happens, from the calling thread (warnings also from others).
        services: the outside world.

    Raises:
        UserError: something asked for does not work; nothing has been kept then.
        Interrupted: the user stopped the run; `resume` goes on with it.
        ArchsearchError: no trial could be trained.
    """
    settings = opening.located(settings)
    return _Run(settings, on_event, services or real_services(settings)).run()


def resume(
    name: str,
    *,
    home: Path,
    max_time: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> StudyResult:
    """Go on with a study that was cut off; one that has ended gives its result again.

    Args:
        name: the study.
        home: where it lies.
        max_time: a bound in place of the study's own, counted from now; one that had no time for all of
            its finals makes up for them.
        on_event: told what happens (see `run`).
        services: the outside world.

    Raises:
        UserError: there is no such study, its data has changed, or another process drives it.
        Interrupted: the user stopped the run again.
    """
    settings = opening.stored_settings(name, home)
    url = settings.storage or default_url(home)
    check_there(name, url)  # it was there before run.toml
    settings = replace(settings, max_time=max_time or settings.max_time)
    images = None
    with opened(url) as storage:
        if name in study_names(storage):
            store = StudyStore.open(storage, name)
            if max_time is None and (earlier := store.facts.more_time):
                settings = replace(settings, max_time=earlier.max_time)
            if store.facts.complete(more_time=max_time is not None):
                _tell_the_rest(store, settings, services, on_event)
                return read_result(store)  # it needs no images
            images = home / "data" / store.facts.dataset.digest
    taken_up = _TakenUp(more_time=max_time is not None, images=images)
    return _Run(settings, on_event, services or real_services(settings), taken_up).run()


def _tell_the_rest(
    store: StudyStore,
    settings: RunSettings,
    services: Services | None,
    on_event: Callable[[Event], None],
) -> None:
    """Have the tracker write what it lacks of a study that is over."""
    if store.facts.untold:
        folder = StudyFolder(Path(settings.home), store.name)
        with locked(folder.lock, study=store.name):
            retell(store, folder, settings, services or real_services(settings), on_event)


@dataclass(frozen=True, slots=True)
class _TakenUp:
    """What is special about going on with a study.

    Attributes:
        more_time: whether it is given a new bound.
        images: prepared when it began; None: it had not got so far.
    """

    more_time: bool
    images: Path | None


class _Run:
    """One process's work on a study."""

    def __init__(
        self,
        settings: RunSettings,
        on_event: Callable[[Event], None],
        services: Services,
        taken_up: _TakenUp | None = None,
    ) -> None:
        self._settings = settings
        self._emit = on_event
        self._services = services
        self._taken_up = taken_up
        self._more_time = taken_up is not None and taken_up.more_time
        self._home = Path(settings.home)
        self._interrupts = Interrupts()
        self._clock = RunClock(services.clock)

    def run(self) -> StudyResult:
        self._check()
        problem = pose(
            self._settings,
            self._services.find_machine(),
            kept=self._taken_up.images if self._taken_up else None,
            progress=slow_progress(self._emit),
        )
        url = self._settings.storage or default_url(self._home)
        with self._interrupts, opened(url, patience=self._patience()) as storage:
            settings = opening.named(self._settings, study_names(storage))
            folder = StudyFolder(self._home, str(settings.name))
            folder.create()
            with locked(folder.lock, study=str(settings.name)):
                return self._run_locked(storage, settings, folder, problem)

    def _patience(self) -> Patience:
        return Patience(
            clock=self._services.clock,
            sleep=self._services.sleep,
            stopped=lambda: self._interrupts.requested,
            tell=lambda text: self._emit(Notice(text=text)),
        )

    def _check(self) -> None:
        """Refuse what can't work before there is anything to see of the study."""
        if self._settings.max_latency is not None and self._services.gauge is None:
            raise UserError(
                f"--max-latency {self._settings.max_latency}: latency is that of a SavedModel, and "
                "TensorFlow is not installed; pip install tensorflow"
            )
        opening.check_place(self._settings, resume=self._taken_up is not None)

    def _run_locked(
        self, storage: "BaseStorage", settings: RunSettings, folder: StudyFolder, problem: Problem
    ) -> StudyResult:
        """Make the study, or take it up, and bring it to its end; no other process drives it."""
        known = folder.settings.exists()
        store = None
        try:
            asked = problem.settle(settings)
            resume = self._taken_up is not None
            store = opening.existing(storage, asked, problem, resume=resume)
            if store is not None and store.facts.complete(more_time=self._more_time):
                return read_result(store)  # meanwhile, by another process
            if not known:
                # Before anything that takes time: `resume` goes by it after a power cut.
                folder.write_settings(settings)
            if store is not None and self._more_time:
                opening.give_more_time(store, settings)
            self._emit(opening.started(settings, store, folder, problem))
            with self._calibrated(problem, folder, store) as found:
                settings = found.problem.settle(settings)
                bounds = bounds_of(settings, found.forecast, store, self._clock)
                if store is None:
                    store = opening.create(storage, settings, folder, found.problem)
                result = self._session(settings, store, folder, found, bounds).run()
        except BaseException as error:
            if not known:
                self._leave_no_study(storage, store, folder, error)
            if isinstance(error, OSError):
                raise MachineError(what_failed(error)) from error
            raise
        self._emit(StudyEnded(result=result))
        return result

    def _leave_no_study(
        self,
        storage: "BaseStorage",
        store: StudyStore | None,
        folder: StudyFolder,
        error: BaseException,
    ) -> None:
        """Clear away what a start has made that went wrong before the first trial: its name is free again."""
        if store is not None:
            # Those say how to go on.
            if len(store) or isinstance(
                error, Interrupted | KeyboardInterrupt | MachineError | OSError
            ):
                return
            remove_study(storage, store.name)
        if isinstance(error, UserError | Interrupted | KeyboardInterrupt):
            folder.delete()
        else:  # the workers' logs say why
            folder.settings.unlink(missing_ok=True)

    @contextmanager
    def _calibrated(
        self, problem: Problem, folder: StudyFolder, store: StudyStore | None
    ) -> Iterator[Calibrated]:
        """Start workers, measure the pace on them, and tell what the run will take."""
        measuring = calibration(
            self._services,
            folder,
            self._interrupts,
            self._emit,
            began=self._clock.began_s,
            store=store,
        )
        with measuring.run(problem) as found:
            if self._interrupts.requested and store is None:
                raise Interrupted(
                    "interrupted before the first trial; the same command starts anew"
                )
            self._emit(Planned(forecast=found.forecast))
            yield found

    def _session(
        self,
        settings: RunSettings,
        store: StudyStore,
        folder: StudyFolder,
        found: Calibrated,
        bounds: Bounds,
    ) -> Session:
        return Session(
            settings=settings,
            store=store,
            folder=folder,
            found=found,
            bounds=bounds,
            services=self._services,
            clock=self._clock,
            stopped=lambda: self._interrupts.requested,
            emit=self._emit,
        )
