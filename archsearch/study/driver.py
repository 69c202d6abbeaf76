"""A whole run: data, search, finals, export; and taking up a run that was cut off."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.archive.databases import (
    check_there,
    default_url,
    opened,
    remove_study,
    study_names,
)
from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.archive.lock import locked
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import MachineError, UserError, what_failed
from archsearch.planning.limits import bounds_of
from archsearch.planning.problem import Problem
from archsearch.settings import RunSettings
from archsearch.study import opening
from archsearch.study.dry_run import calibrated, posed
from archsearch.study.events import Event, Notice, StudyEnded
from archsearch.study.in_full.follow_up import followed
from archsearch.study.interrupt import Interrupted, Interrupts
from archsearch.study.ports import Services, real_services
from archsearch.study.retelling import tell_rest
from archsearch.study.session import RunClock, Session

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def run(
    settings: RunSettings,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> StudyResult:
    """Run a new study to its end and return its result.

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
    services = services or real_services(settings)
    result = _Run(settings, on_event, services).run()
    return _followed(result, settings, on_event, services)


def resume(
    name: str,
    *,
    home: Path,
    max_time: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> StudyResult:
    """Go on with a study that was cut off and return its result; one that has ended gives it again.

    Args:
        name: the study.
        home: where it lies.
        max_time: a bound in place of the study's own, counted from now; one that had no time for all of
            its finals makes up for them, and one without finals searches on.
        on_event: told what happens (see `run`).
        services: the outside world.

    Raises:
        UserError: there is no such study, its data has changed, or another process drives it.
        Interrupted: the user stopped the run again.
    """
    settings = opening.stored_settings(name, home)
    services = services or real_services(settings)
    result = _resumed(name, settings, max_time, on_event, services)
    return _followed(result, settings, on_event, services)


def _resumed(
    name: str,
    settings: RunSettings,
    max_time: str | None,
    on_event: Callable[[Event], None],
    services: Services,
) -> StudyResult:
    """Go on with a study, without what follows it (see `resume`)."""
    home = Path(settings.home)
    url = settings.storage or default_url(home)
    check_there(name, url)  # it was there before run.toml
    settings = replace(settings, max_time=max_time or settings.max_time)
    kept = None
    with opened(url) as storage:
        if name in study_names(storage):
            facts = opening.facts_in(storage, name)
            if max_time is None and (earlier := facts.extension):
                settings = earlier.of(settings)
            if facts.complete(more_time=max_time is not None):
                store = StudyStore.open(storage, name)
                if facts.untold:
                    tell_rest(store, settings, services, on_event)
                return read_result(store)  # it needs no images
            kept = opening.kept_of(facts, home)
    taken_up = opening.TakenUp(more_time=max_time is not None, kept=kept)
    return _Run(settings, on_event, services, taken_up).run()


def _followed(
    result: StudyResult,
    settings: RunSettings,
    on_event: Callable[[Event], None],
    services: Services,
) -> StudyResult:
    """Train the winner of a search in full, where that is asked for."""
    return followed(
        result,
        settings,
        train=lambda asked: run(asked, on_event=on_event, services=services),
        resume=lambda name: resume(
            name, home=Path(settings.home), on_event=on_event, services=services
        ),
    )


class _Run:
    """One process's work on a study."""

    def __init__(
        self,
        settings: RunSettings,
        on_event: Callable[[Event], None],
        services: Services,
        taken_up: opening.TakenUp | None = None,
    ) -> None:
        self._settings = settings
        self._emit = on_event
        self._services = services
        self._taken_up = taken_up
        self._more_time = taken_up is not None and taken_up.more_time
        self._home = Path(settings.home)
        self._interrupts = Interrupts()
        self._clock = RunClock(services.clock)
        self._store: StudyStore | None = None

    def run(self) -> StudyResult:
        self._check()
        kept = self._taken_up.kept if self._taken_up else None
        problem = posed(self._settings, self._services, self._emit, kept=kept)
        url = self._settings.storage or default_url(self._home)
        patience = self._services.patience(
            stopped=lambda: self._interrupts.requested,
            tell=self._notify,
        )
        with self._interrupts, opened(url, patience=patience) as storage:
            settings = opening.named(self._settings, study_names(storage), base=problem.usual_name)
            folder = StudyFolder(self._home, str(settings.name))
            folder.create()
            hint = "wait for it, end it, or give this run another --name"
            with locked(folder.lock, study=str(settings.name), hint=hint):
                return self._run_locked(storage, settings, folder, problem)

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
        """Bring the study to its end; a start that goes wrong leaves none. No other process drives it."""
        known = folder.settings.exists()
        try:
            return self._run_to_end(storage, settings, folder, problem)
        except BaseException as error:
            if not known:
                self._leave_no_study(storage, folder, error)
            if isinstance(error, OSError):
                raise MachineError(what_failed(error)) from error
            raise

    def _run_to_end(
        self, storage: "BaseStorage", settings: RunSettings, folder: StudyFolder, problem: Problem
    ) -> StudyResult:
        """Make the study, or take it up, and bring it to its end."""
        resume = self._taken_up is not None
        self._store = opening.existing(storage, problem.settle(settings), problem, resume=resume)
        if self._store is not None and self._store.facts.complete(more_time=self._more_time):
            return read_result(self._store)  # meanwhile, by another process
        if not folder.settings.exists():
            # Before anything that takes time: `resume` goes by it after a power cut.
            folder.write_settings(settings)
        if self._store is not None and self._more_time:
            opening.give_more_time(self._store, settings)
        learnt = opening.learnt(storage, self._store, settings, problem, tell=self._notify)
        self._emit(opening.started(settings, self._store, folder, problem, learnt))
        with calibrated(
            problem, folder, self._services, self._interrupts, self._emit,
            began=self._clock.began_s, store=self._store,
            durations=opening.durations(storage, self._store, settings),
        ) as found:  # fmt: skip
            settings = found.problem.settle(settings)
            bounds = bounds_of(settings, found.forecast, self._store, self._clock)
            if self._store is None:
                self._store = opening.create(
                    storage, settings, folder, found.problem, learnt, found.forecast.pace
                )
            result = Session(
                settings=settings,
                store=self._store,
                folder=folder,
                found=found,
                bounds=bounds,
                services=self._services,
                clock=self._clock,
                stopped=lambda: self._interrupts.requested,
                emit=self._emit,
            ).run()
        self._emit(StudyEnded(result=result))
        return result

    def _notify(self, text: str) -> None:
        self._emit(Notice(text=text))

    def _leave_no_study(
        self, storage: "BaseStorage", folder: StudyFolder, error: BaseException
    ) -> None:
        """Clear away what a start has made that went wrong before the first trial: its name is free again."""
        if self._store is not None:
            # Those say how to go on.
            if len(self._store) or isinstance(
                error, Interrupted | KeyboardInterrupt | MachineError | OSError
            ):
                return
            remove_study(storage, self._store.name)
        if isinstance(error, UserError | Interrupted | KeyboardInterrupt):
            folder.delete()
        else:  # the workers' logs say why
            folder.settings.unlink(missing_ok=True)
