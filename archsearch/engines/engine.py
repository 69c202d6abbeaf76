"""The seam between deciding and whatever trains networks; an engine answers for its own machine.

To add an engine: a module with an `EngineKind`, and a line under the entry-point group `archsearch.engines`,
here or in a package of your own. `archsearch.testing.engine_case` checks it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias, runtime_checkable

from archsearch.errors import UserError
from archsearch.plugins import find
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup

GROUP: Final = "archsearch.engines"

Message: TypeAlias = EpochReport | Outcome | WorkerLost
"""What an engine says of a job, and of a worker that it lost."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine can train on.

    Attributes:
        cores: CPU cores it may use.
        gpus: numbers of its GPUs, as CUDA counts them.
        memory_bytes: main memory that is free now.
        gpu_memory_bytes: of its first GPU; None where it does not tell.
        processor: name of its processor; empty: it is not known, or there are several kinds.
    """

    cores: int
    gpus: tuple[str, ...] = ()
    memory_bytes: int = 0
    gpu_memory_bytes: int | None = None
    processor: str = ""


class Engine(Protocol):
    """Trains jobs, several at a time, and tells how they stand.

    Every submitted job gives exactly one Outcome, whatever happens to it: a worker that dies gives
    `failed` with the reason, and where another worker goes on with the job, a WorkerLost. Reports of
    a job come in order and before its outcome; between jobs there is no order. An engine is used from
    one thread.
    """

    @property
    def workers(self) -> int:
        """Jobs that train at the same time; more wait in the order they came."""
        ...

    def submit(self, job: Job) -> None:
        """Take a job.

        Raises:
            ValueError: a job of that key is under way.
        """
        ...

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in (outcome `pruned`); nothing for one that has ended."""
        ...

    def events(self, timeout_s: float) -> Sequence[Message]:
        """Wait up to `timeout_s` for at least one message and return what came; empty when nothing did."""
        ...

    def close(self) -> None:
        """End the workers at once; outcomes that have not been told are lost."""
        ...


@runtime_checkable
class EngineKind(Protocol):
    """Opens engines of one kind."""

    def machine(self, home: Path) -> Machine:
        """Return what its engines can train on, without starting a worker.

        Args:
            home: where the studies lie; workers elsewhere may be found by it.

        Raises:
            UserError: there is nothing now.
        """
        ...

    def open(self, setups: Sequence[WorkerSetup], *, home: Path, folder: Path) -> Engine:
        """Start workers, one a setup, and return their engine.

        Args:
            setups: one for each training at a time.
            home: where the studies lie, the data and all that jobs name among them.
            folder: for what workers print; its parent has the study's name.
        """
        ...


@runtime_checkable
class Addressed(EngineKind, Protocol):
    """A kind of engine that is at some address."""

    def at(self, address: str) -> EngineKind:
        """Return the kind at another address."""
        ...


def find_engine(name: str, *, address: str | None = None) -> EngineKind:
    """Return the kind of engine of that name.

    Args:
        name: of the kind.
        address: where it is; None: where it says itself.

    Raises:
        UserError: there is none; says the nearest. Or it has no address.
        ArchsearchError: what is installed as it is no engine, does not load, or two packages have one.
    """
    kind: EngineKind = find(GROUP, name, what="engine", kind=EngineKind)
    if address is None:
        return kind
    if not isinstance(kind, Addressed):
        raise UserError(f"--address {address}: engine {name} has no address; leave it out")
    return kind.at(address)
