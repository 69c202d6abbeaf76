"""What a run uses of the outside world: worker processes, the tracker, the exporter."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from archsearch.archive.patience import Patience
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.engines.engine import Engine, Machine, find_engine
from archsearch.exchange.gauge import Gauge
from archsearch.settings import RunSettings
from archsearch.tracking.records import Tracker
from archsearch.training.processes import leave_if_imported
from archsearch.training.setup import WorkerSetup


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a run uses of the outside world; tests bring their own.

    Attributes:
        engine: makes the engine of workers with these setups; they log into the folder.
        tracker: makes the tracker; it is given a function to tell the user of trouble.
        export: exports the study's winner in the default format, with the gauge if there is one; returns
            where it lies.
        clock: seconds, for the bound on a run's time.
        sleep: waits so many seconds, where a database is away.
        machine: what the engine can train on; None: as an engine on this machine says.
        gauge: makes what exports networks and measures their latency; None: it is not measured.
    """

    engine: Callable[[Sequence[WorkerSetup], StudyFolder], Engine]
    tracker: Callable[[RunSettings, Callable[[str], None]], Tracker]
    export: Callable[[StudyStore, StudyFolder, Gauge | None], Path]
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    machine: Callable[[], Machine] | None = None
    gauge: Callable[[StudyFolder], Gauge] | None = None

    def patience(self, *, stopped: Callable[[], bool], tell: Callable[[str], None]) -> Patience:
        """Return the patience with a database that is away, until the user stops the run."""
        return Patience(clock=self.clock, sleep=self.sleep, stopped=stopped, tell=tell)

    def find_machine(self) -> Machine:
        """Return what the engine can train on."""
        if self.machine is None:
            return find_engine("local").machine(Path())
        return self.machine()


def real_services(settings: RunSettings) -> Services:
    """Return the engine that was asked for, the tracker, the exporter and a gauge of latency.

    Raises:
        UserError: there is no such engine, or it has no address.
    """
    leave_if_imported()
    kind = find_engine(settings.engine, address=settings.address)

    def engine(setups: Sequence[WorkerSetup], folder: StudyFolder) -> Engine:
        cached = [replace(setup, cache=str(folder.compiled)) for setup in setups]
        return kind.open(cached, home=folder.home, folder=folder.worker_logs)

    def tracker(settings: RunSettings, warn: Callable[[str], None]) -> Tracker:
        from archsearch.tracking.kinds import open_tracker

        return open_tracker(settings.tracking_uri, home=Path(settings.home), warn=warn)

    def export(store: StudyStore, folder: StudyFolder, gauge: Gauge | None) -> Path:
        from archsearch.study.winner import export_winner

        [found] = export_winner(store, folder, exporter=gauge)
        return found.path

    def gauge(folder: StudyFolder) -> Gauge:
        from archsearch.exchange.model_process import ModelProcess

        return ModelProcess(log=folder.models_log)

    # What is measured is a SavedModel; training on another backend needs no TensorFlow.
    there = find_spec("tensorflow") is not None
    return Services(
        engine=engine,
        tracker=tracker,
        export=export,
        machine=lambda: kind.machine(Path(settings.home)),
        gauge=gauge if there else None,
    )
