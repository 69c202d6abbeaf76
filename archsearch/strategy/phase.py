"""What a phase of a study says to whoever runs it, and what it hears: plain values both ways.

A phase (the search, the finals, measuring) decides. It knows no clock, no process and no storage: it is
told the time, reports and endings, and answers with steps and verdicts. One loop carries them out
(archsearch.study.loop). So its tests are tables of what happened and what is to be done.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Order
from archsearch.exchange.latency import Latency
from archsearch.ir.graph import Graph
from archsearch.training.job import EpochReport, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Train a network.

    Attributes:
        trial: the number of the trial it belongs to; None: it is none of the search's.
        network: where it has not been kept yet; None: the study has it.
        new: whether this is the trial's first training, and the trial is to be kept.
        again: whether an earlier process began it: it goes on.
        skipped: proposals passed over before it.
    """

    order: Order
    trial: int | None = None
    network: Graph | None = None
    new: bool = False
    again: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """Keep a trial that has no network, with the reason.

    Attributes:
        again: whether an earlier process kept the trial, but not how it ended.
        skipped: proposals passed over before it.
    """

    order: Order
    trial: int
    reason: str
    again: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Measure what a call of a network takes, exported; beside the trainings, or when none runs.

    Attributes:
        network: the network; None: the study has it under `graph`.
        graph: content hash of the network.
        seconds: how long to measure; None: as long as is usual.
        attempts: measurements at most, while they are disturbed; None: as many as are usual.
    """

    graph: str
    network: Graph | None = None
    seconds: float | None = None
    attempts: int | None = None


class DropMeasurement:
    """Give up what is being measured."""


@dataclass(frozen=True, slots=True)
class Close:
    """Order no more, and keep why; `full`: nothing else fitted into the bounds."""

    why: str
    full: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep what was measured of a finalist's network."""

    name: str
    found: Latency | str


@dataclass(frozen=True, slots=True)
class Abandon:
    """Give up all trainings that run, without waiting for them; those in `open` stay to be done."""

    why: str
    open: frozenset[JobKey] = frozenset()


@dataclass(frozen=True, slots=True)
class Say:
    """Tell the user something, in one line."""

    text: str


class Rest(Enum):
    """Nothing to do now: until something happens, or for good."""

    WAIT = "wait"
    DONE = "done"


Step: TypeAlias = Begin | Fail | Measure | DropMeasurement | Keep | Close | Abandon | Say | Rest


@dataclass(frozen=True, slots=True)
class Stop:
    """A training is to end after the epoch it is in.

    Attributes:
        why: in one line.
        open: whether it stays to be done, from its checkpoint on, where there is more time.
    """

    why: str
    open: bool = False


Verdict: TypeAlias = Stop | None
"""Of a training, after a report: it stops, or goes on (None)."""


class Phase(ABC):
    """Decides what is done in one phase of a study.

    Times are seconds on one clock. A phase that takes up a study is given its log when it is made.
    """

    @abstractmethod
    def next(self, now_s: float, *, room: int) -> Step:
        """Return what to do now.

        Args:
            now_s: the time.
            room: trainings that could begin now.
        """

    def heard(self, report: EpochReport, now_s: float) -> Verdict:
        """Take a report of a training that runs and has not been stopped; each epoch comes once."""
        return None

    def ended(self, order: Order, outcome: Outcome, now_s: float) -> None:
        """Take how a training ended. One that was stopped has the figures of when it was."""
        raise NotImplementedError

    def left_open(self, order: Order, now_s: float) -> None:
        """Take note that a training was stopped and stays to be done."""
        raise NotImplementedError

    def measured(self, found: Latency | str, now_s: float) -> None:
        """Take what was measured, or why it could not be."""
        raise NotImplementedError

    def gets_ready(self, workers: int) -> bool:
        """Return whether what comes after this phase may get ready now, beside the last trainings."""
        return False

    def settled(self, order: Order) -> bool:
        """Return whether the trial of a training that has ended gets no further one."""
        return True
