"""A whole run: data, search, finals, export; and taking up a run that was cut off."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import LEFT, MORE_TIME, StudyResult, read_result, why_no_winner
from archsearch.archive.lock import locked
from archsearch.archive.store import (
    StudyStore,
    absolute_url,
    check_there,
    default_url,
    opened,
    study_names,
)
from archsearch.data.sources.names import located
from archsearch.engines.engine import Engine
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.gauge import Gauge
from archsearch.planning.baselines import wants_matched
from archsearch.planning.calibration import Calibrated
from archsearch.planning.limits import Limits
from archsearch.planning.plan import bounds, calibration, slow_progress
from archsearch.planning.problem import Prepared, prepare_run
from archsearch.planning.sharing import settled
from archsearch.settings import (
    RunSettings,
    gather,
    nearest,
)
from archsearch.space.budget import Budget
from archsearch.space.solve import solve
from archsearch.strategy.finals import Finals, run_finals
from archsearch.strategy.latency_fit import LatencyBound
from archsearch.strategy.proposals import Plan, window_of
from archsearch.strategy.search import Interrupted, Search
from archsearch.study import opening
from archsearch.study.commands import command
from archsearch.study.events import (
    Event,
    ExportStarted,
    JobEnded,
    Notice,
    Planned,
    StudyEnded,
)
from archsearch.study.interrupt import Interrupts
from archsearch.study.journal import Journal
from archsearch.study.ports import Services, real_services
from archsearch.study.summary import (
    HEADER,
    dataset_record,
    note_rows,
    study_metrics,
)
from archsearch.tracking.kinds import check_address
from archsearch.tracking.labels import study_note
from archsearch.tracking.records import Ending, StudyRecord, StudyStatus, Tracker
from archsearch.units import format_size, parse_latency


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
    return _Run(_located(settings), on_event, services or real_services(), resume=False).run()


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
    settings = stored_settings(name, home)
    url = settings.storage or default_url(home)
    check_there(name, url)  # it was there before run.toml
    settings = replace(settings, max_time=max_time or settings.max_time)
    images = None
    with opened(url) as storage:
        if name in study_names(storage):
            store = StudyStore.open(storage, name)
            if max_time is None and (earlier := store.attributes.get(MORE_TIME)):
                settings = replace(settings, max_time=earlier["max_time"])
            if _ended(store, more_time=max_time is not None):  # its result needs no images
                return read_result(store)
            images = home / "data" / str(store.attributes["dataset"]["digest"])
    return _Run(
        settings,
        on_event,
        services or real_services(),
        resume=True,
        more_time=max_time is not None,
        images=images,
    ).run()


def stored_settings(name: str, home: Path) -> RunSettings:
    """Return a study's settings from its run.toml; its home is where it lies now.

    Raises:
        UserError: there is no such study.
    """
    path = StudyFolder(home, name).settings
    if not path.is_file():
        known = sorted(p.parent.name for p in (home / "studies").glob("*/run.toml"))
        hint = nearest(name, tuple(known)) if known else "there are none yet"
        raise UserError(f"no study {name!r} in {home}; {hint}")
    return replace(gather({}, config=path), home=str(home), name=name)


def _located(settings: RunSettings) -> RunSettings:
    """Make paths absolute: the study may be taken up from another folder."""
    return replace(
        settings,
        data=located(settings.data),
        storage=settings.storage and absolute_url(settings.storage),
        tracking_uri=settings.tracking_uri and absolute_url(settings.tracking_uri),
    )


def _ended(store: StudyStore, *, more_time: bool) -> bool:
    left = more_time and store.attributes.get(LEFT)
    return store.attributes.get("status") == "complete" and not left


class _Run:
    def __init__(
        self,
        settings: RunSettings,
        on_event: Callable[[Event], None],
        services: Services,
        *,
        resume: bool,
        more_time: bool = False,
        images: Path | None = None,
    ) -> None:
        self._settings = settings
        self._began = 0.0
        self._emit = on_event
        self._services = services
        self._resume = resume
        self._more_time = more_time
        self._images = images
        self._home = Path(settings.home)

    def run(self) -> StudyResult:
        self._began = self._services.clock()
        if self._settings.max_latency is not None and self._services.gauge is None:
            raise UserError(
                f"--max-latency {self._settings.max_latency}: latency is that of a SavedModel, and "
                "TensorFlow is not installed; pip install tensorflow"
            )
        opening.check_place(self._settings)
        url = self._settings.storage or default_url(self._home)
        # Whoever resumes a study cannot give another address: it goes on untracked, and says so.
        if not self._resume:
            check_address(self._settings.tracking_uri, home=self._home)
        prepared = prepare_run(
            self._settings, kept=self._images, progress=slow_progress(self._emit)
        )
        with Interrupts() as interrupts, opened(url) as storage:
            settings = opening.named(self._settings, study_names(storage))
            assert settings.name is not None
            folder = StudyFolder(self._home, settings.name)
            folder.create()
            store = None
            with locked(folder.lock, study=settings.name):
                known = folder.settings.exists()
                try:
                    asked = settled(settings, prepared.sharing)
                    store = opening.existing(storage, asked, prepared, resume=self._resume)
                    if store is not None and _ended(store, more_time=self._more_time):
                        return read_result(store)  # meanwhile, by another process
                    if not known:
                        # Before anything that takes time: `resume` goes by it after a power cut.
                        folder.write_settings(settings)
                    if store is not None and self._more_time:
                        wall_s = store.attributes.get("wall_s", 0.0)
                        given = {"max_time": settings.max_time, "wall_s": wall_s}
                        store.set_attribute(MORE_TIME, given)
                    self._emit(opening.started(settings, store, folder, prepared))
                    with self._calibrated(prepared, folder, store, interrupts) as found:
                        prepared = found.prepared
                        settings = settled(settings, prepared.sharing)
                        limits = bounds(
                            settings, found.forecast, store=store, clock=self._services.clock,
                            began=self._began,
                        )  # fmt: skip
                        if store is None:
                            store = opening.create(storage, settings, folder, prepared)
                        result = self._drive(
                            store, settings, folder, prepared, found.engine, limits, interrupts
                        )
                except (UserError, Interrupted, KeyboardInterrupt):
                    # Where something failed, the folder holds the workers' logs that say why.
                    if store is None and not known:  # no study has been made
                        folder.delete()
                    raise
        self._emit(StudyEnded(result=result))
        return result

    def _drive(
        self,
        store: StudyStore,
        settings: RunSettings,
        folder: StudyFolder,
        prepared: Prepared,
        engine: Engine,
        limits: Limits,
        interrupts: Interrupts,
    ) -> StudyResult:
        """Run what is left of a study that is there."""
        store.set_attribute("status", "running")
        if "published" not in store.attributes:
            store.set_attribute("published", opening.published_facts(prepared, folder))
        with self._gauge(folder) as gauge, self._tracked(store, settings, prepared) as tracker:
            journal = Journal(
                folder=folder,
                tracker=tracker,
                dataset=str(prepared.folder),
                recipe=prepared.recipe,
                backend=prepared.sharing.backend,
                precision=prepared.sharing.precision,
                compiled=prepared.sharing.compiled,
                val_every=prepared.val_every,
                tags={"space": settings.space, "budget": settings.flops},
                on_event=self._keeping_time(store),
            )
            parts = _Parts(
                store=store, folder=folder, engine=engine, journal=journal, limits=limits
            )
            self._train(parts, prepared, interrupts, gauge)
            self._check_result(store)
            if settings.export:
                self._export(store, folder, gauge)
            folder.drop_compiled()
        return read_result(store)

    def _keeping_time(self, store: StudyStore) -> Callable[[Event], None]:
        """Pass events on; keep the time a study has taken also where its driver will be killed."""
        earlier_s = store.attributes.get("wall_s", 0.0)

        def tell(event: Event) -> None:
            if isinstance(event, JobEnded):
                wall_s = self._services.clock() - self._began
                store.set_attribute("wall_s", earlier_s + wall_s)
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
    def _calibrated(
        self,
        prepared: Prepared,
        folder: StudyFolder,
        store: StudyStore | None,
        interrupts: Interrupts,
    ) -> Iterator[Calibrated]:
        """Start workers, measure the pace on them, and tell what the run will take."""
        measuring = calibration(
            self._services, folder, interrupts, self._emit, began=self._began, store=store
        )
        with measuring.run(prepared) as found:
            if interrupts.requested and store is None:
                raise Interrupted(
                    "interrupted before the first trial; the same command starts anew"
                )
            self._emit(Planned(forecast=found.forecast))
            yield found

    def _train(
        self, parts: "_Parts", prepared: Prepared, interrupts: Interrupts, gauge: Gauge | None
    ) -> None:
        def stopped() -> bool:
            return interrupts.requested

        settings, space, request = self._settings, prepared.space, prepared.request
        search = Plan(
            knobs=space.knobs(request),
            solve=lambda knobs: solve(space, knobs, request),
            length=prepared.length,
            classic=space.classic_knobs(request) if wants_matched(settings) else None,
            trials=settings.trials,
            # The study's own, also where it is resumed with other workers: choices depend on it.
            window=window_of(parts["store"].attributes["settings"]["workers"]),
            seed=settings.seed,
            prune=settings.prune,
            stopped=stopped,
            latency=self._latency_bound(prepared, gauge),
        )

        def idle() -> None:
            if gauge is not None:
                gauge.warm_up()

        Search(search, **parts, idle=idle).run()
        finals = Finals(
            finalists=settings.finalists,
            seeds=settings.seeds,
            seed=settings.seed,
            length=prepared.length,
            stopped=stopped,
        )
        run_finals(finals, **parts, gauge=gauge)

    def _latency_bound(self, prepared: Prepared, gauge: Gauge | None) -> LatencyBound | None:
        text, space, request = self._settings.max_latency, prepared.space, prepared.request
        if text is None or gauge is None:
            return None
        return LatencyBound(
            max_ms=parse_latency(text),
            text=text,
            gauge=gauge,
            solve=lambda knobs, flops: solve(space, knobs, request, within=Budget(1, flops)),
        )

    def _check_result(self, store: StudyStore) -> None:
        result = read_result(store)
        if result.winner is None:
            more = ""
            if store.attributes.get(LEFT) and self._settings.max_time is not None:
                go_on = command("resume", store.name, home=self._home)
                more = f"; `{go_on} --max-time 1h` gives it more time"
            raise ArchsearchError(f"study {store.name!r}: {why_no_winner(result)}{more}")

    def _export(self, store: StudyStore, folder: StudyFolder, gauge: Gauge | None) -> None:
        self._emit(ExportStarted(out=str(folder.exports)))
        try:
            self._services.export(store, folder, gauge)
        except UserError as error:  # the result is there all the same
            self._warn(f"the best model is not exported: {error}")

    @contextmanager
    def _tracked(
        self, store: StudyStore, settings: RunSettings, prepared: Prepared
    ) -> Iterator[Tracker]:
        """Track the study while the block runs, and keep how it ended."""
        tracker = self._services.tracker(settings, self._warn)
        facts: dict[str, str | int] = {
            "space": prepared.space.title,
            "budget": str(prepared.request.budget),
            "data": f"{prepared.dataset.name}, {format_size(prepared.dataset.input)}",
            "seed": settings.seed,
        }
        status: StudyStatus = "failed"
        patience_s = 30.0
        earlier_s = store.attributes.get("wall_s", 0.0)
        try:
            tracker.start_study(
                StudyRecord(
                    name=store.name,
                    space=settings.space,
                    budget=settings.flops,
                    dataset=dataset_record(prepared.dataset),
                    settings=settings.to_dict(),
                    description=study_note(facts=facts),
                )
            )
            yield tracker
            status = "complete"
        except Interrupted:
            status = "interrupted"
            how = command("resume", store.name, home=self._home)
            raise Interrupted(f"interrupted; `{how}` goes on from here") from None
        except KeyboardInterrupt:
            # At once, but without runs that look as if they went on; a third Ctrl-C ends this, too.
            status, patience_s = "interrupted", 10.0
            raise
        finally:
            wall_s = self._services.clock() - self._began
            store.set_attribute("wall_s", earlier_s + wall_s)
            store.set_attribute("status", status)
            result = read_result(store)
            tracker.end_study(
                Ending(status=status, metrics=study_metrics(result)),
                description=study_note(facts=facts, header=HEADER, rows=note_rows(result)),
            )
            if (problem := tracker.close(patience_s)) is not None:
                self._warn(problem)

    def _warn(self, text: str) -> None:
        self._emit(Notice(text=text))


class _Parts(TypedDict):
    """What the search and the finals work with."""

    store: StudyStore
    folder: StudyFolder
    engine: Engine
    journal: Journal
    limits: Limits
