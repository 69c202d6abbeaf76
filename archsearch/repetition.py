"""A training of a study once more, from the same network, seed, recipe and images; every figure compared."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from archsearch.archive.databases import check_there, default_url, opened
from archsearch.archive.keys import trial_name
from archsearch.archive.orders import Training
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.engines.engine import Engine
from archsearch.errors import ArchsearchError, UserError
from archsearch.planning.problem import Problem
from archsearch.planning.sharing import Sharing
from archsearch.settings import nearest
from archsearch.strategy.bounds import Bounds
from archsearch.study.conduct import by_decision
from archsearch.study.dry_run import posed
from archsearch.study.events import EpochDone, Event, JobStarted
from archsearch.study.finalists import ended_before, finals_of
from archsearch.study.opening import kept_of, stored_settings
from archsearch.study.ports import Services, real_services
from archsearch.study.recorder import counting
from archsearch.training.job import EpochReport, Job, Outcome

_POLL_S: Final = 0.25
_FIGURES: Final = (
    "loss", "accuracy", "val_loss", "val_accuracy", "val_balanced_accuracy", "learning_rate", "images",
)  # fmt: skip
_OUTCOME_FIGURES: Final = ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "images")


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that came out otherwise.

    Attributes:
        where: `epoch 3`, `epoch 1 of a second try`, or `the end`.
        figure: its name, as in the study's epochs.
        before: as the study has it; None: it has none.
        again: as it came now.
    """

    where: str
    figure: str
    before: float | None
    again: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repetition:
    """What came of a training once more.

    Attributes:
        study: its study.
        key: of the training, such as `trial-0007`.
        label: of the network.
        how: threads or GPU, backend and precision it ran with now.
        epochs: that were compared.
        outcome: how it ended now.
        differences: in the order they came; empty: every figure is the same to the last digit.
    """

    study: str
    key: str
    label: str
    how: str
    epochs: int
    outcome: Outcome
    differences: tuple[Difference, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**asdict(self), "same": not self.differences}


def rerun(
    study: str,
    *,
    home: Path,
    trial: int | None = None,
    key: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> Repetition:
    """Train a network of a study once more as it was trained there, and compare every figure.

    Nothing of the study changes. On a CPU with as many threads the figures are the same to the last digit.
    A GPU adds in no fixed order; another version of a framework, or another processor, may round otherwise.

    Args:
        study: its name.
        home: where it lies.
        trial: number of a trial of the search; its longest training that has ended is meant.
        key: of one training in place of that: `trial-0007-rung1`, `final-0007-seed1`.
        on_event: told that it begins, and of every epoch.
        services: the outside world.

    Raises:
        UserError: there is no such study or training, it has not ended, or its images have changed.
        ArchsearchError: it could not be trained.
    """
    settings = stored_settings(study, home)
    services = services or real_services(settings)
    url = settings.storage or default_url(home)
    check_there(study, url)
    with opened(url) as storage:
        store = StudyStore.open(storage, study)
        problem = posed(settings, services, on_event, kept=kept_of(store.facts, home))
        _check_images(store, problem)
        training = _find(_ended(store, problem), study, trial=trial, key=key)
    return _repeated(training, problem, StudyFolder(home, study), services, on_event)


def _repeated(
    training: Training,
    problem: Problem,
    folder: StudyFolder,
    services: Services,
    on_event: Callable[[Event], None],
) -> Repetition:
    """Train it, and compare it with what the folder has."""
    order, ended = training.order, training.outcome
    assert ended is not None
    kept = counting(folder.read_epochs(str(order.key)), ended)
    # One of the workers: it trains as each of them does.
    alone = replace(problem.sharing, setups=problem.sharing.setups[:1])
    job = problem.job(
        order, folder.read_graph(order.design.graph), test=order.key.purpose == "final"
    )
    job = replace(job, microbatches=ended.microbatches)
    on_event(JobStarted(order=order))
    with _engine(services, alone) as engine:
        reports, outcome = _heard(
            engine, job, ended, lambda report: on_event(EpochDone(order=order, report=report))
        )
    return Repetition(
        study=folder.path.name,
        key=str(order.key),
        label=order.design.label,
        how=str(alone),
        epochs=len(kept),
        outcome=outcome,
        differences=differences(kept, ended, reports, outcome),
    )


def differences(
    kept: Sequence[EpochReport],
    ended: Outcome,
    reports: Sequence[EpochReport],
    outcome: Outcome,
) -> tuple[Difference, ...]:
    """Return the figures that came out otherwise.

    Args:
        kept: the epochs that the study has.
        ended: how it ended there; what was stopped there is compared by its epochs alone.
        reports: the epochs that came now.
        outcome: how it ended now.
    """
    again = {(report.before, report.epoch): report for report in reports}
    found = []
    for report in kept:
        where = f"epoch {report.epoch}" + (" of a second try" if report.before else "")
        found += _compared(where, _FIGURES, report, again.get((report.before, report.epoch)))
    if ended.status == "complete":
        found += _compared("the end", _OUTCOME_FIGURES, ended, outcome)
    return tuple(found)


def _compared(where: str, figures: Sequence[str], before: Any, again: Any) -> list[Difference]:
    pairs = ((name, getattr(before, name), getattr(again, name, None)) for name in figures)
    return [Difference(where, name, one, other) for name, one, other in pairs if one != other]


def _ended(store: StudyStore, problem: Problem) -> dict[str, Training]:
    """Return the trainings that have ended, by key."""
    searched = [training for training in by_decision(store) if training.outcome is not None]
    finals = ended_before(store, finals_of(store, problem.settings, Bounds(), problem.length))
    return {str(training.order.key): training for training in (*searched, *finals)}


def _find(
    ended: dict[str, Training], study: str, *, trial: int | None, key: str | None
) -> Training:
    """Return the training that is meant.

    Raises:
        UserError: none is, or not one alone.
    """
    if not ended:
        raise UserError(f"no training of study {study!r} has ended yet")
    if (trial is None) == (key is None):
        some = next(reversed(ended))
        raise UserError(f"which training? say either --trial N or --training KEY, such as {some}")
    if key is not None:
        if key not in ended:
            near = nearest(key, tuple(ended))
            raise UserError(f"study {study!r} has no training {key!r} that has ended; {near}")
        return ended[key]
    name = trial_name(trial or 0)
    searched = [one for one in ended.values() if one.order.key.purpose == "search"]
    own = [one for one in searched if one.order.key.name == name]
    if not own:
        names = sorted({one.order.key.name for one in searched})
        there = f"there are {names[0]} to {names[-1]}" if names else "it has none"
        raise UserError(f"study {study!r} has no {name} that has ended; {there}")
    return max(own, key=lambda training: training.order.key.rung)


def _check_images(store: StudyStore, problem: Problem) -> None:
    before, now = store.facts.dataset.digest, problem.dataset.digest
    if before != now:
        raise UserError(
            f"the images of study {store.name!r} have changed since it began (digest {before}, now "
            f"{now}): no training of it can be repeated"
        )


@contextmanager
def _engine(services: Services, sharing: Sharing) -> Iterator[Engine]:
    """Give an engine whose files go when it does."""
    with TemporaryDirectory(prefix="archsearch-") as place:
        engine = services.engine(sharing.setups, StudyFolder(Path(place), "again"))
        try:
            yield engine
        finally:
            engine.close()


def _heard(
    engine: Engine, job: Job, ended: Outcome, told: Callable[[EpochReport], None]
) -> tuple[list[EpochReport], Outcome]:
    """Submit a job and return what is heard of it to its end."""
    last = ended.epochs if ended.status == "pruned" else None
    reports: list[EpochReport] = []
    engine.submit(job)
    while True:
        for message in engine.events(_POLL_S):
            if isinstance(message, EpochReport):
                reports.append(message)
                told(message)
                if message.epoch == last:
                    engine.stop(job.key)
            elif isinstance(message, Outcome):
                if message.status == "failed" and ended.status != "failed":
                    raise ArchsearchError(f"{job.key} could not be trained: {message.reason}")
                return reports, message
