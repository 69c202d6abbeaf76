"""A folder through which jobs go to workers on any machine that has it; all by atomic renames, no server.

```
pool/workers/WORKER.json     who is there, and on what; written anew at every beat
pool/jobs/TICKET.json        jobs that wait, the longest first
pool/taken/TICKET@WORKER     jobs that a worker has taken: the same file, renamed by it
pool/said/TICKET@WORKER      what that worker has said of it, a line a message
pool/words/TICKET            what the driver says to whoever has it: to stop after its epoch, to end at once
```

A ticket says when the job came, its key, and a digest of its content: a driver that takes a study up finds
the jobs of the one before it, those that have ended meanwhile too.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

from archsearch.engines.engine import Machine, Message
from archsearch.training.job import Job, from_json, to_json
from archsearch.training.setup import WorkerSetup
from archsearch.whole_files import write_whole

BEAT_S: Final = 5.0
"""Seconds from one beat of a worker to the next."""
SILENT_S: Final = 30.0
"""Seconds without a beat after which a worker is taken for lost."""
VERSION: Final = version("archsearch")
_HOME: Final = "{home}"
"""What stands for the home in a job's paths: other machines may have it elsewhere."""

Word: TypeAlias = Literal["stop", "end"]


@dataclass(frozen=True, slots=True)
class Ticket:
    """The name of a job in the pool.

    Attributes:
        came: when, in nanoseconds: jobs are taken in this order.
        key: the job's.
        content: a digest of all that is to be done.
    """

    came: int
    key: str
    content: str

    @classmethod
    def of(cls, parcel: "Parcel") -> Self:
        """Return a ticket for something to be done, which comes now."""
        digest = hashlib.sha256(parcel.to_json().encode()).hexdigest()[:16]
        return cls(time.time_ns(), parcel.job.key, digest)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str()` gave.

        Raises:
            ValueError: the text is no ticket.
        """
        came, key, content = text.split(",")
        return cls(int(came), key, content)

    def __str__(self) -> str:
        return f"{self.came:020d},{self.key},{self.content}"

    def is_of(self, other: "Ticket") -> bool:
        """Whether the two are of one job, whenever they came."""
        return replace(self, came=0) == replace(other, came=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What a worker is given: a job, and with what it is to be trained.

    Attributes:
        study: of which it is.
        setup: threads and devices; which GPUs these are, the worker says.
        nonce: makes it another one than all before; empty: the result of an earlier one will do.
        version: of archsearch; a worker of another one leaves it to others.
    """

    study: str
    job: Job
    setup: WorkerSetup
    nonce: str = ""
    version: str = VERSION

    def to_json(self) -> str:
        """Return it as JSON."""
        return json.dumps({**asdict(self), "job": to_json(self.job)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` gave.

        Raises:
            ValueError, KeyError, TypeError: it is none, or of another version.
        """
        found = json.loads(text)
        job, setup = from_json(found["job"]), found["setup"]
        if not isinstance(job, Job):
            raise ValueError("no job")
        setup = WorkerSetup(**{**setup, "gpus": tuple(setup["gpus"])})
        return cls(**{**found, "job": job, "setup": setup})

    def away_from(self, home: Path) -> Self:
        """Return it with paths that hold wherever the home lies."""
        return self._moved(lambda path: _without_home(path, home))

    def at(self, home: Path) -> Self:
        """Return it with the paths of a home."""
        return self._moved(lambda path: path.replace(_HOME, str(home.resolve()), 1))

    def _moved(self, move: Callable[[str], str]) -> Self:
        job, setup = self.job, self.setup
        return replace(
            self,
            job=replace(
                job,
                dataset=move(job.dataset),
                weights=job.weights and move(job.weights),
                checkpoint=job.checkpoint and move(job.checkpoint),
            ),
            setup=replace(setup, cache=setup.cache and move(setup.cache)),
        )


def _without_home(path: str, home: Path) -> str:
    for there in (home, home.absolute(), home.resolve()):
        if Path(path).is_relative_to(there):
            return str(_HOME / Path(path).relative_to(there))
    return path


@dataclass(frozen=True, slots=True)
class Beat:
    """A worker that is there.

    Attributes:
        worker: its name.
        count: of its beats.
        machine: on what it trains.
    """

    worker: str
    count: int
    machine: Machine


class Pool:
    """The folder, in a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path = home / "pool"
        self.logs = self._path / "logs"
        self.jobs, self.taken, self.said, self.words, self.workers = (
            self._path / name for name in ("jobs", "taken", "said", "words", "workers")
        )

    def create(self) -> None:
        """Make the folders."""
        for folder in (self.jobs, self.taken, self.said, self.words, self.workers):
            folder.mkdir(parents=True, exist_ok=True)

    # --- the driver's side ------------------------------------------------------------------------------

    def put(self, ticket: Ticket, parcel: Parcel) -> None:
        """Have a job wait for a worker."""
        write_whole(self.jobs / f"{ticket}.json", parcel.away_from(self.home).to_json())

    def withdraw(self, ticket: Ticket) -> bool:
        """Take back a job that waits; False where a worker has it."""
        mine = self._path / f".{ticket}.withdrawn"
        try:
            (self.jobs / f"{ticket}.json").rename(mine)
        except OSError:
            return False
        mine.unlink(missing_ok=True)
        return True

    def say(self, ticket: Ticket, word: Word) -> None:
        """Say something to whoever has a job."""
        write_whole(self.words / str(ticket), word)

    def holder(self, ticket: Ticket) -> str | None:
        """Return the worker that has taken a job, ended or not; None: none has."""
        holders = [worker for one, worker in self.tickets_taken() if one == ticket]
        return holders[0] if holders else None

    def tickets_taken(self) -> list[tuple[Ticket, str]]:
        """Return the jobs that are taken, and by whom."""
        found = []
        for name in names_in(self.taken):
            text, _, worker = name.partition("@")
            with suppress(ValueError):
                found.append((Ticket.parse(text), worker))
        return found

    def waiting(self) -> list[Ticket]:
        """Return the jobs that wait, the longest first."""
        found = []
        for name in sorted(names_in(self.jobs)):
            with suppress(ValueError):
                found.append(Ticket.parse(name.removesuffix(".json")))
        return found

    def read(self, ticket: Ticket, worker: str, since: int) -> tuple[list[Message], int]:
        """Return what a worker has said of a job since a place in the file, and the place after it."""
        path = self.said / f"{ticket}@{worker}"
        try:
            with path.open("rb") as file:
                file.seek(since)
                text = file.read()
        except OSError:
            return [], since
        whole = text[: text.rfind(b"\n") + 1]
        found = (from_json(line) for line in whole.decode().splitlines())
        messages = [message for message in found if not isinstance(message, Job)]
        return messages, since + len(whole)

    def put_back(self, ticket: Ticket, worker: str) -> bool:
        """Have a job that a worker has taken wait again; False where it has it no more."""
        try:
            (self.taken / f"{ticket}@{worker}").rename(self.jobs / f"{ticket}.json")
        except OSError:
            return False
        return True

    def forget(self, ticket: Ticket) -> None:
        """Remove all that there is of a job."""
        (self.jobs / f"{ticket}.json").unlink(missing_ok=True)
        (self.words / str(ticket)).unlink(missing_ok=True)
        for folder in (self.taken, self.said):
            for name in names_in(folder):
                if name.startswith(f"{ticket}@"):
                    (folder / name).unlink(missing_ok=True)

    def beats(self) -> list[Beat]:
        """Return the last beat of every worker that has not left."""
        found = []
        for name in sorted(names_in(self.workers)):
            with suppress(OSError, ValueError, TypeError, KeyError):
                beat = json.loads((self.workers / name).read_text(encoding="utf-8"))
                machine = Machine(**{**beat["machine"], "gpus": tuple(beat["machine"]["gpus"])})
                found.append(Beat(name.removesuffix(".json"), beat["count"], machine))
        return found

    def present(self) -> list[Beat]:
        """Return the workers whose last beat is fresh, by the clock of whoever keeps the files."""
        probe = self._path / f".now-{os.getpid()}"
        probe.write_text("")
        now = probe.stat().st_mtime
        probe.unlink(missing_ok=True)
        return [beat for beat in self.beats() if now - self._beaten(beat) < SILENT_S]

    def _beaten(self, beat: Beat) -> float:
        try:
            return (self.workers / f"{beat.worker}.json").stat().st_mtime
        except OSError:
            return float("-inf")

    # --- a worker's side --------------------------------------------------------------------------------

    def beat(self, beat: Beat) -> None:
        """Say that a worker is there."""
        text = json.dumps({"count": beat.count, "machine": asdict(beat.machine)})
        write_whole(self.workers / f"{beat.worker}.json", text)

    def leave(self, worker: str) -> None:
        """Say that a worker is there no more."""
        (self.workers / f"{worker}.json").unlink(missing_ok=True)

    def peek(self, ticket: Ticket) -> Parcel | None:
        """Return what waits under a ticket, with this home's paths; None: nothing that can be read."""
        try:
            text = (self.jobs / f"{ticket}.json").read_text(encoding="utf-8")
            return Parcel.from_json(text).at(self.home)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def take(self, ticket: Ticket, worker: str) -> bool:
        """Take a job that waits; False where another worker was quicker."""
        # What an earlier take by the same worker has said is said.
        (self.said / f"{ticket}@{worker}").unlink(missing_ok=True)
        try:
            (self.jobs / f"{ticket}.json").rename(self.taken / f"{ticket}@{worker}")
        except OSError:
            return False
        return True

    def has(self, ticket: Ticket, worker: str) -> bool:
        """Whether a worker still has a job: it is put back where it was taken for lost."""
        return (self.taken / f"{ticket}@{worker}").exists()

    def tell(self, ticket: Ticket, worker: str, messages: Sequence[Message]) -> None:
        """Say something of a job."""
        with (self.said / f"{ticket}@{worker}").open("a", encoding="utf-8") as file:
            file.writelines(f"{to_json(message)}\n" for message in messages)
            file.flush()
            os.fsync(file.fileno())

    def word(self, ticket: Ticket) -> Word | None:
        """Return what the driver says of a job."""
        try:
            text = (self.words / str(ticket)).read_text(encoding="utf-8")
        except OSError:
            return None
        return "end" if text == "end" else "stop"


def names_in(folder: Path) -> Iterator[str]:
    """Give the names of a folder's files that are whole."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from [entry.name for entry in entries if not entry.name.startswith(".")]
