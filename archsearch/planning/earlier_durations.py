"""What earlier studies say of how long networks train on this platform: read as a study begins.

    storage ── facts of each study ── those of the same platform, the newest ── their Graphs and seconds
            ── coefficients of a workload ──┬── the plan: how long a typical network takes (`pace.py`)
                                            └── the new study's facts ── its sampler, under a bound on time

Any space teaches: a workload's figures are those of all networks. As with accuracies (`earlier.py`) it is
done once and kept with the study. What is learnt is how networks compare, never how fast a machine is on the
whole: that is measured anew.
"""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from archsearch.archive.databases import study_names
from archsearch.archive.facts import Durations, Platform, StudyFacts
from archsearch.archive.orders import Trial
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder, kept_studies
from archsearch.archive.tally import read_facts
from archsearch.errors import ArchsearchError
from archsearch.ir.codec import from_json
from archsearch.readings.workload import COEFFICIENTS, Workload, workload
from archsearch.settings import RunSettings
from archsearch.strategy.samplers.durations import Timed, drawn
from archsearch.units import counted

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

LEAST_NETWORKS: Final = 4
"""Networks of a study that teach anything: of fewer, how busy the machine was decides."""
MOST_STUDIES: Final = 8
"""Studies that teach at most, the newest."""
MOST_NETWORKS: Final = 50
"""Networks of a study that are read, the first: each takes a millisecond."""

ByPlatform: TypeAlias = Callable[[Platform], Durations | None]
"""What is known of durations on a platform; None: nothing. Which one it is the first training shows."""


def nothing(platform: Platform) -> None:
    """Return that nothing is known of any platform."""
    return


def durations_by(storage: "BaseStorage", settings: RunSettings) -> ByPlatform:
    """Return what earlier studies say, read as it is asked for.

    What can't be read of them says nothing; of the same space, `earlier.py` tells of it.

    Args:
        storage: of the new study; earlier ones are those in it whose folders are in the home.
        settings: of the new study.
    """
    if settings.network is not None or not settings.prior:
        return nothing
    home = Path(settings.home)

    @cache
    def others() -> list[tuple[str, StudyFacts]]:
        return _newest_first(storage, home, besides=settings.name)

    @cache
    def on(platform: Platform) -> Durations | None:
        names = [name for name, facts in others() if facts.platform == platform]
        return _of(storage, home, names)

    return on


def told(durations: Durations | None) -> tuple[str, ...]:
    """Return what is to be said of where durations are known from, in a line; none where they are not."""
    if durations is None:
        return ()
    each = ", ".join(f"{name} ({counted(n, 'network')})" for name, n in durations.studies.items())
    return (f"knows how long networks train from: {each}; --no-prior leaves that out",)


def _newest_first(
    storage: "BaseStorage", home: Path, *, besides: str | None
) -> list[tuple[str, StudyFacts]]:
    """Return the other studies; those of other versions, and what is damaged, are none."""
    there = set(study_names(storage)) - {besides}
    found = []
    for name in there.intersection(kept_studies(home)):
        try:
            found.append((name, read_facts(storage, name)))
        except (ArchsearchError, OSError):
            continue
    return sorted(found, key=lambda each: (each[1].created, each[0]), reverse=True)


def _of(storage: "BaseStorage", home: Path, names: list[str]) -> Durations | None:
    """Return what studies of one platform say together; None: too little."""
    timed: dict[str, Timed] = {}
    for name in names:
        if len(timed) == MOST_STUDIES:
            break
        try:
            found = _timed(StudyStore.open(storage, name).trials, StudyFolder(home, name))
        except (ArchsearchError, OSError):
            continue
        if len(found.log_s) >= LEAST_NETWORKS:
            timed[name] = found
    if not timed:
        return None
    learnt = Workload(*drawn(timed.values(), np.array(COEFFICIENTS.figures())).tolist())
    counts = {name: len(one.log_s) for name, one in timed.items()}
    return Durations(studies=counts, coefficients=asdict(learnt))


def _timed(trials: tuple[Trial, ...], folder: StudyFolder) -> Timed:
    """Return what the first trainings of a study's networks took, by image; starting is not training.

    Raises:
        ArchsearchError: the file of a network is gone or damaged.
    """
    took: dict[str, float] = {}  # a network twice is as a network once
    for trial in trials:
        ended = trial.trainings[0].outcome
        if ended is not None and ended.status == "complete" and ended.train_s > 0 and ended.images:
            took.setdefault(trial.design.graph, float(np.log(ended.train_s / ended.images)))
    took = dict(list(took.items())[:MOST_NETWORKS])
    loads = [workload(from_json(folder.read_graph(graph))) for graph in took]
    figures = np.array([load.figures() for load in loads])
    return Timed(figures, np.array(list(took.values())))
