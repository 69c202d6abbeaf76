"""What happens in a run, as it happens: plain values for whoever watches."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.orders import Order
from archsearch.planning.forecast import Forecast
from archsearch.settings import RunSettings
from archsearch.training.job import EpochReport, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStarted:
    """The data is prepared and the first trial is about to start.

    Attributes:
        settings: with every default filled in.
        network: that is trained in full, in a few words; empty: a space is searched.
        folder: what the study keeps as files.
        distinct: combinations of knob values the space has.
        done: trials that a resumed study has finished already.
        notes: what a person should hear before the work, one line each.
    """

    study: str
    settings: RunSettings
    folder: str
    network: str = ""
    distinct: int
    input: tuple[int, int, int]
    classes: int
    images: dict[str, int]
    done: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparing:
    """The images are being prepared, which takes a while: so many are done."""

    done: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """The machine's pace is being measured, which takes a while: with what, in one line."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """The pace has been measured: what the run is going to take."""

    forecast: Forecast


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStarted:
    """A network begins to train, or waits for a worker to do so."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """A network has trained for one more epoch."""

    order: Order
    report: EpochReport


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnded:
    """A training is over.

    Attributes:
        outcome: how it ended; None: it was interrupted, and will be taken up again.
        best: whether no training before it reached its validation accuracy.
    """

    order: Order
    outcome: Outcome | None
    best: bool = False

    @property
    def status(self) -> str:
        """How it ended: `complete`, `pruned`, `failed`, or `interrupted`."""
        return "interrupted" if self.outcome is None else self.outcome.status


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecalled:
    """A training ended before this process began; the one before may not have told everyone.

    Attributes:
        reports: reads its epochs from their file: of thousands of trainings nearly nobody asks for them.
    """

    order: Order
    outcome: Outcome
    reports: Callable[[], tuple[EpochReport, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFound:
    """A finalist's network has been measured: milliseconds of a call, for each of its trainings."""

    keys: tuple[JobKey, ...]
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalistsStarted:
    """The search is over; these are retrained from scratch.

    Attributes:
        full: whether there was no search: a network is trained in full.
        rows: the leaderboard so far.
        entrants: labels of those that are retrained in any case.
        candidates: networks of the search besides, of which those are retrained that it tells most of.
        jobs: trainings of the finals, all seeds together.
        done: those that a resumed study has finished already.
    """

    rows: tuple[Row, ...]
    entrants: tuple[str, ...]
    candidates: int = 0
    jobs: int
    done: int = 0
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportStarted:
    """The winner is being exported."""

    out: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something a person should hear, in one line."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyEnded:
    """The run is over."""

    result: StudyResult


Event: TypeAlias = (
    StudyStarted
    | Preparing
    | Measuring
    | Planned
    | JobStarted
    | EpochDone
    | JobEnded
    | JobRecalled
    | LatencyFound
    | FinalistsStarted
    | ExportStarted
    | Notice
    | StudyEnded
)
