"""What a run uses of the outside world: worker processes, the tracker, the exporter."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from archsearch.settings import RunSettings
from archsearch.study.engines.base import Engine
from archsearch.study.folder import StudyFolder
from archsearch.study.storage import StudyStore
from archsearch.tracking.records import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What a run uses of the outside world; tests bring their own.

    Attributes:
        engine: makes the engine for so many workers; they log into the folder.
        tracker: makes the tracker; it is given a function to tell the user of trouble.
        export: exports the study's winner in the default format; returns where it lies.
        clock: seconds, for the bound on a run's time.
    """

    engine: Callable[[int, StudyFolder], Engine]
    tracker: Callable[[RunSettings, Callable[[str], None]], Tracker]
    export: Callable[[StudyStore, StudyFolder], Path]
    clock: Callable[[], float] = time.monotonic


def real_services() -> Services:
    """Return worker processes on this machine, MLflow, and the exporter."""

    def engine(workers: int, folder: StudyFolder) -> Engine:
        from archsearch.study.engines.local import LocalEngine

        threads = max(1, cores() // workers)
        return LocalEngine(workers, logs=folder.worker_logs, threads=threads)

    def tracker(settings: RunSettings, warn: Callable[[str], None]) -> Tracker:
        from archsearch.tracking.tracker import MlflowTracker

        return MlflowTracker(Path(settings.home), tracking_uri=settings.tracking_uri, warn=warn)

    def export(store: StudyStore, folder: StudyFolder) -> Path:
        from archsearch.study.export import export_winner

        return export_winner(store, folder)

    return Services(engine=engine, tracker=tracker, export=export)


def cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Return how many trials run at the same time where nothing is said.

    One for two cores, but two where there are only two: two trials of one thread each keep both cores busy
    where one trial of two threads does not (benchmarks/RESULTS.md).
    """
    return max(min(2, cores()), cores() // 2)
