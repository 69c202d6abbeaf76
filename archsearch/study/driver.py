"""A whole run: data, search, finals, export; and taking up a run that was cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.archive.databases import check_there, default_url, opened, study_names
from archsearch.archive.facts import MoreTime
from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import StudyResult, read_result, why_no_winner
from archsearch.archive.lock import locked
from archsearch.archive.store import StudyStore
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.gauge import Gauge
from archsearch.planning.calibration import Calibrated
from archsearch.planning.limits import bounds_of, checked_bounds
from archsearch.planning.problem import Problem, pose
from archsearch.planning.sharing import settled
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds
from archsearch.study import opening
from archsearch.study.commands import command
from archsearch.study.conduct import OpenStudy
from archsearch.study.dry_run import calibration, slow_progress
from archsearch.study.events import Event, ExportStarted, JobEnded, Notice, Planned, StudyEnded
from archsearch.study.interrupt import Interrupted, Interrupts
from archsearch.study.observers import TrackingObserver
from archsearch.study.ports import Services, real_services
from archsearch.study.tracked import Tracked
from archsearch.tracking.kinds import check_address

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
    return _Run(settings, on_event, services or real_services(settings)).run()


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
                return read_result(store)  # it needs no images
            images = home / "data" / store.facts.dataset.digest
    taken_up = _TakenUp(more_time=max_time is not None, images=images)
    return _Run(settings, on_event, services or real_services(settings), taken_up).run()


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
        self._began_s = services.clock()

    def run(self) -> StudyResult:
        self._check()
        problem = pose(
            self._settings,
            self._services.find_machine(),
            kept=self._taken_up.images if self._taken_up else None,
            progress=slow_progress(self._emit),
        )
        url = self._settings.storage or default_url(self._home)
        with self._interrupts, opened(url) as storage:
            settings = opening.named(self._settings, study_names(storage))
            folder = StudyFolder(self._home, str(settings.name))
            folder.create()
            with locked(folder.lock, study=str(settings.name)):
                return self._run_locked(storage, settings, folder, problem)

    def _check(self) -> None:
        """Refuse what can't work before there is anything to see of the study."""
        if self._settings.max_latency is not None and self._services.gauge is None:
            raise UserError(
                f"--max-latency {self._settings.max_latency}: latency is that of a SavedModel, and "
                "TensorFlow is not installed; pip install tensorflow"
            )
        opening.check_place(self._settings)
        # Whoever resumes a study cannot give another address: it goes on untracked, and says so.
        if self._taken_up is None:
            check_address(self._settings.tracking_uri, home=self._home)

    def _run_locked(
        self, storage: "BaseStorage", settings: RunSettings, folder: StudyFolder, problem: Problem
    ) -> StudyResult:
        """Make the study, or take it up, and bring it to its end; no other process drives it."""
        known = folder.settings.exists()
        store = None
        try:
            asked = settled(settings, problem.sharing)
            resume = self._taken_up is not None
            store = opening.existing(storage, asked, problem, resume=resume)
            if store is not None and store.facts.complete(more_time=self._more_time):
                return read_result(store)  # meanwhile, by another process
            if not known:
                # Before anything that takes time: `resume` goes by it after a power cut.
                folder.write_settings(settings)
            if store is not None and self._more_time and settings.max_time is not None:
                given = MoreTime(max_time=settings.max_time, wall_s=store.facts.wall_s)
                store.keep(replace(store.facts, more_time=given))
            self._emit(opening.started(settings, store, folder, problem))
            with self._calibrated(problem, folder, store) as found:
                settings = settled(settings, found.problem.sharing)
                bounds = self._bounds(settings, found, store)
                if store is None:
                    store = opening.create(storage, settings, folder, found.problem)
                result = self._drive(store, settings, folder, found, bounds)
        except (UserError, Interrupted, KeyboardInterrupt):
            # Where something failed, the folder holds the workers' logs that say why.
            if store is None and not known:  # no study has been made
                folder.delete()
            raise
        self._emit(StudyEnded(result=result))
        return result

    @contextmanager
    def _calibrated(
        self, problem: Problem, folder: StudyFolder, store: StudyStore | None
    ) -> Iterator[Calibrated]:
        """Start workers, measure the pace on them, and tell what the run will take."""
        measuring = calibration(
            self._services, folder, self._interrupts, self._emit, began=self._began_s, store=store
        )
        with measuring.run(problem) as found:
            if self._interrupts.requested and store is None:
                raise Interrupted(
                    "interrupted before the first trial; the same command starts anew"
                )
            self._emit(Planned(forecast=found.forecast))
            yield found

    def _bounds(self, settings: RunSettings, found: Calibrated, store: StudyStore | None) -> Bounds:
        now_s = self._services.clock()
        bounds = bounds_of(settings, found.forecast, began_s=self._began_s, now_s=now_s)
        return checked_bounds(bounds, store)

    def _drive(
        self,
        store: StudyStore,
        settings: RunSettings,
        folder: StudyFolder,
        found: Calibrated,
        bounds: Bounds,
    ) -> StudyResult:
        """Run what is left of a study that is there and return its result."""
        published = store.facts.published
        if published is None:
            published = opening.published_designs(found.problem, folder)
        store.keep(replace(store.facts, status="running", published=published))
        tracker = self._services.tracker(settings, self._warn)
        tracked = Tracked(
            store=store,
            settings=settings,
            problem=found.problem,
            tracker=tracker,
            wall_s=self._wall_s,
            warn=self._warn,
        )
        tags = {"space": settings.space, "budget": settings.flops}
        observer = TrackingObserver(tracker, folder=folder, tags=tags)
        with self._gauge(folder) as gauge, self._resumable(store), tracked.going_on():
            OpenStudy(
                store=store,
                folder=folder,
                problem=found.problem,
                engine=found.engine,
                bounds=bounds,
                emit=self._observed(store, observer),
                clock=self._services.clock,
                stopped=lambda: self._interrupts.requested,
                gauge=gauge,
            ).conduct()
            self._check_result(store)
            if settings.export:
                self._export(store, folder, gauge)
            folder.drop_compiled()
        return read_result(store)

    def _observed(
        self, store: StudyStore, observer: Callable[[Event], None]
    ) -> Callable[[Event], None]:
        """Return what passes events on, and keeps the time taken also where the driver will be killed."""
        earlier_s = store.facts.wall_s

        def tell(event: Event) -> None:
            observer(event)
            if isinstance(event, JobEnded):
                store.keep(replace(store.facts, wall_s=earlier_s + self._wall_s()))
            self._emit(event)

        return tell

    @contextmanager
    def _gauge(self, folder: StudyFolder) -> Iterator[Gauge | None]:
        gauge = None if self._services.gauge is None else self._services.gauge(folder)
        try:
            yield gauge
        finally:
            if gauge is not None:
                gauge.close()

    @contextmanager
    def _resumable(self, store: StudyStore) -> Iterator[None]:
        """Say how to go on where the user stops the run."""
        try:
            yield
        except Interrupted:
            how = command("resume", store.name, home=self._home)
            raise Interrupted(f"interrupted; `{how}` goes on from here") from None

    def _check_result(self, store: StudyStore) -> None:
        result = read_result(store)
        if result.winner is None:
            more = ""
            if store.facts.left and self._settings.max_time is not None:
                go_on = command("resume", store.name, home=self._home)
                more = f"; `{go_on} --max-time 1h` gives it more time"
            raise ArchsearchError(f"study {store.name!r}: {why_no_winner(result)}{more}")

    def _export(self, store: StudyStore, folder: StudyFolder, gauge: Gauge | None) -> None:
        self._emit(ExportStarted(out=str(folder.exports)))
        try:
            self._services.export(store, folder, gauge)
        except UserError as error:  # the result is there all the same
            self._warn(f"the best model is not exported: {error}")

    def _wall_s(self) -> float:
        return self._services.clock() - self._began_s

    def _warn(self, text: str) -> None:
        self._emit(Notice(text=text))
