"""One process's work on an open study: tracked, conducted, its winner exported."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from archsearch.archive.leaderboard import StudyResult, read_result, why_no_winner
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.commands import command
from archsearch.errors import ArchsearchError, MachineError, UserError, what_failed
from archsearch.exchange.gauge import Gauge
from archsearch.planning.calibration import Calibrated
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds
from archsearch.study.conduct import OpenStudy
from archsearch.study.events import Event, ExportStarted, JobEnded, Notice
from archsearch.study.interrupt import Interrupted
from archsearch.study.observers import TrackingObserver, study_tags
from archsearch.study.opening import given_designs
from archsearch.study.ports import Services
from archsearch.study.tracked import Tracked


class RunClock:
    """The time of one run, in seconds.

    Attributes:
        began_s: when it began, on the clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.began_s = clock()

    def __call__(self) -> float:
        """Return the time now, on the clock."""
        return self._clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._clock() - self.began_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one process does on a study that is there.

    Attributes:
        settings: with every choice written down.
        found: the workers, and the problem they train on.
        stopped: true once the user wants to stop.
        emit: told of every event.
    """

    settings: RunSettings
    store: StudyStore
    folder: StudyFolder
    found: Calibrated
    bounds: Bounds
    services: Services
    clock: RunClock
    stopped: Callable[[], bool]
    emit: Callable[[Event], None]

    def run(self) -> StudyResult:
        """Run what is left of the study.

        Raises:
            Interrupted: the user stopped it; says how to go on.
            MachineError: a disk, a GPU, the images or the storage fail; says how to go on.
            ArchsearchError: no network trained to its end.
        """
        self._begin()
        tracker = self.services.tracker(self.settings, self._warn)
        tracked = Tracked(
            store=self.store,
            settings=self.settings,
            classes=len(self.found.problem.dataset.classes),
            tracker=tracker,
            warn=self._warn,
        )
        observer = TrackingObserver(tracker, folder=self.folder, tags=study_tags(self.settings))
        going_on = tracked.going_on(lambda: self.clock.elapsed_s)
        with self._gauge() as gauge, self._resumable(), going_on:
            self._open_study(observer, gauge).conduct()
            self._check_result()
            if self.settings.export:
                self._export(gauge)
            self.folder.drop_compiled()
        return read_result(self.store)

    def _begin(self) -> None:
        facts = self.store.facts
        published = facts.published
        if published is None:
            published = given_designs(self.found.problem, self.folder)
        self.store.keep(
            replace(
                facts,
                status="running",
                published=published,
                # Of a study by an earlier version, the recipe that it goes on with.
                recipe=facts.recipe or self.found.problem.asked,
                measured_flops=facts.measured_flops + self.found.measured_flops,
            )
        )

    def _open_study(self, observer: Callable[[Event], None], gauge: Gauge | None) -> OpenStudy:
        return OpenStudy(
            store=self.store,
            folder=self.folder,
            problem=self.found.problem,
            engine=self.found.engine,
            bounds=self.bounds,
            emit=self._observed(observer),
            clock=self.clock,
            stopped=self.stopped,
            gauge=gauge,
        )

    def _observed(self, observer: Callable[[Event], None]) -> Callable[[Event], None]:
        """Return what passes events on, and keeps the time taken also where the driver will be killed."""
        store, earlier_s = self.store, self.store.facts.wall_s

        def tell(event: Event) -> None:
            observer(event)
            if isinstance(event, JobEnded):
                store.keep(replace(store.facts, wall_s=earlier_s + self.clock.elapsed_s))
            self.emit(event)

        return tell

    @contextmanager
    def _gauge(self) -> Iterator[Gauge | None]:
        make = self.services.gauge
        gauge = None if make is None else make(self.folder)
        try:
            yield gauge
        finally:
            if gauge is not None:
                gauge.close()

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """Say how to go on where the user, or the machine, stops the run."""
        how = f"`{command('resume', self.store.name, home=self.folder.home)}` goes on from here"
        try:
            yield
        except Interrupted:
            raise Interrupted(f"interrupted; {how}") from None
        except MachineError as error:
            raise MachineError(f"{error}; when that is mended, {how}") from error
        except OSError as error:  # the disk of the study's folder: it says which file
            raise MachineError(f"{what_failed(error)}; when that is mended, {how}") from error

    def _check_result(self) -> None:
        result = read_result(self.store)
        without_finals = not self.settings.finalists and self.settings.network is None
        if without_finals and any(row.status == "complete" for row in result.rows):
            return
        if result.winner is None:
            more = ""
            if self.store.facts.left and self.settings.max_time is not None:
                go_on = command("resume", self.store.name, home=self.folder.home)
                more = f"; `{go_on} --max-time 1h` gives it more time"
            raise ArchsearchError(f"study {self.store.name!r}: {why_no_winner(result)}{more}")

    def _export(self, gauge: Gauge | None) -> None:
        self.emit(ExportStarted(out=str(self.folder.exports)))
        try:
            self.services.export(self.store, self.folder, gauge)
        except UserError as error:  # the result is there all the same
            self._warn(f"the best model is not exported: {error}")
        except (ArchsearchError, OSError) as error:
            why = what_failed(error) if isinstance(error, OSError) else str(error)
            again = command("export", self.store.name, home=self.folder.home)
            self._warn(f"the best model is not exported: {why}; `{again}` tries again")

    def _warn(self, text: str) -> None:
        self.emit(Notice(text=text))
