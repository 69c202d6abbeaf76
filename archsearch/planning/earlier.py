"""What earlier studies of a space teach a new one: which of them teach, and what follows from it.

It is decided once, as a study begins, and kept with it: earlier studies may grow or go, and a study that is
taken up decides as before. The same command as before asks the same question: that study learns from what
the first one learnt from, so that a run repeats itself.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from archsearch.archive.codec import kept_settings
from archsearch.archive.databases import study_names
from archsearch.archive.facts import Learnt, StudyFacts
from archsearch.archive.orders import Trial
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder, kept_studies
from archsearch.archive.tally import read_facts
from archsearch.errors import ArchsearchError, DamagedError, one_line
from archsearch.gathering import gather
from archsearch.ir.codec import from_json
from archsearch.planning.problem import Problem
from archsearch.planning.shipped import shipped
from archsearch.rules.registry import load_rules
from archsearch.settings import RunSettings
from archsearch.strategy.sampler import heeds_prior
from archsearch.strategy.samplers.descriptions import described
from archsearch.strategy.samplers.evidence import results
from archsearch.surrogate.prior import Task, learnt
from archsearch.units import counted

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

LEAST_NETWORKS: Final = 8
"""Networks of one budget that teach anything: of fewer, chance decides which feature looks good."""
MOST_STUDIES: Final = 8
"""Studies that teach at most, the newest: each of their networks takes some milliseconds to read."""
MOST_NETWORKS: Final = 100
"""Networks of one budget of a study that are read, the first: a search begins more widely than it ends."""
_ELSEWHERE: Final = frozenset(
    {"name", "workers", "workers_per_gpu", "memory", "backend", "precision", "compile"}
)
"""Settings that do not make it another question: its name, and how the machine is shared."""


def learnt_from(
    storage: "BaseStorage",
    settings: RunSettings,
    problem: Problem,
    *,
    tell: Callable[[str], None],
) -> Learnt | None:
    """Return what earlier studies of the same space teach, or else what is shipped; None: it is not wanted.

    Args:
        storage: of the new study; earlier ones are those in it whose folders are in the home.
        settings: of the new study.
        problem: that it is to solve.
        tell: told of studies that can't be read.
    """
    if settings.network is not None or not settings.prior or not heeds_prior(settings.sampler):
        return None
    found = dict(_of_space(storage, settings, tell))
    questions = {
        name: _question(each.settings, each.dataset.digest) for name, each in found.items()
    }
    asked = _question(problem.settle(settings), problem.dataset.digest)
    for name, question in questions.items():
        if question == asked:
            return found[name].learnt
    tasks = dict(_taught(storage, _home(settings), questions, tell=tell))
    prior = learnt([task for those in tasks.values() for task in those])
    if prior is None:
        return shipped()
    counts = {name: sum(len(task.values) for task in those) for name, those in tasks.items()}
    return Learnt(studies=counts, weights=prior.weights)


def _taught(
    storage: "BaseStorage",
    home: Path,
    questions: Mapping[str, str],
    *,
    tell: Callable[[str], None],
) -> Iterator[tuple[str, Sequence[Task]]]:
    """Yield what each study teaches, by its name, the newest first; `questions` has the oldest first."""
    answered: set[str] = set()
    for name, question in reversed(list(questions.items())):
        # What repeats another study has nothing to add, and would bear that one out.
        if question in answered or len(answered) == MOST_STUDIES:
            continue
        try:
            found = _tasks(StudyStore.open(storage, name), StudyFolder(home, name))
        except (ArchsearchError, OSError) as error:
            tell(_lost(name, error))
            continue
        if found:
            answered.add(question)
            yield name, found


def told(learnt: Learnt | None) -> tuple[str, ...]:
    """Return which studies another one learns from, in a line; none where it learns from none."""
    if learnt is None:
        return ()
    each = ", ".join(f"{name} ({counted(n, 'network')})" for name, n in learnt.studies.items())
    return (f"learns from: {each}; --no-prior leaves that out",)


def _home(settings: RunSettings) -> Path:
    return Path(settings.home)


def _of_space(
    storage: "BaseStorage", settings: RunSettings, tell: Callable[[str], None]
) -> Iterator[tuple[str, StudyFacts]]:
    """Yield the other searches of the space by name, the oldest first; those of other versions are none."""
    there = set(study_names(storage)) - {settings.name}
    found = []
    for name in kept_studies(_home(settings)):
        try:
            if name in there and _space(_home(settings), name) == settings.space:
                found.append((name, read_facts(storage, name)))
        except DamagedError as error:
            tell(_lost(name, error))
        except (ArchsearchError, OSError):
            continue
    yield from sorted(found, key=lambda each: (each[1].created, each[0]))


def _lost(name: str, error: Exception) -> str:
    return f"study {name!r} teaches nothing: {one_line(error)}"


def _space(home: Path, name: str) -> str | None:
    """Return the space that a study's run.toml names."""
    return gather({}, config=StudyFolder(home, name).settings).space


def _question(settings: RunSettings, images: str) -> str:
    """Return what a study's table follows from: its settings, and the digest of its images."""
    asked = {k: v for k, v in kept_settings(settings).items() if k not in _ELSEWHERE}
    return json.dumps([asked, images], sort_keys=True)


def _tasks(store: StudyStore, folder: StudyFolder) -> list[Task]:
    """Return what each budget of a study teaches; none where too few of its networks have learnt.

    Raises:
        ArchsearchError: the file of a network is gone or damaged.
    """
    by_budget: dict[int | None, list[Trial]] = defaultdict(list)
    for trial in store.trials:
        by_budget[trial.design.budget].append(trial)
    found = [_task(trials, folder) for trials in by_budget.values()]
    return [task for task in found if task is not None]


def _task(trials: Sequence[Trial], folder: StudyFolder) -> Task | None:
    trained = _trained(trials)
    # Of each network its longest training, the last; all are on one scale.
    values = {each.trial: each.accuracy for each in results(trials) if each.trial in trained}
    values = dict(list(values.items())[:MOST_NETWORKS])
    if len(values) < LEAST_NETWORKS or len(set(values.values())) < 2:
        return None
    rules = tuple(load_rules().values())
    graphs = {trial.number: trial.design.graph for trial in trials}
    features = [described(from_json(folder.read_graph(graphs[n])), rules) for n in values]
    return Task(features, np.array(list(values.values())))


def _trained(trials: Sequence[Trial]) -> set[int]:
    """Return the numbers of the trials that trained to an end and learnt something."""
    outcomes = {t.number: t.best_known.outcome for t in trials if t.best_known is not None}
    return {
        number
        for number, outcome in outcomes.items()
        if outcome is not None and outcome.status == "complete" and not outcome.stalled
    }
