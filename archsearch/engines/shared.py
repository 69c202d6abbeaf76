"""Workers anywhere, without a server: `archsearch worker HOME` on each machine that has the home's folder.

Workers come and go while the driver runs, and go on while it is down: what they have said is there when it
comes back.
"""

import shlex
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from archsearch.engines.engine import Machine, Message
from archsearch.engines.pool import SILENT_S, Parcel, Pool, Ticket
from archsearch.errors import UserError
from archsearch.training.job import Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup

LOSSES: Final = 3
"""Workers that may be lost with one job, the last of which is taken to be the job's fault."""
_POLL_S: Final = 0.1
_LOOK_S: Final = 1.0
"""Seconds from one look at the workers' beats to the next: each of them is a file."""
_ALONE_S: Final = 2 * SILENT_S
"""Seconds without any worker after which the user is told, once."""


@dataclass(slots=True)
class _Placed:
    """A job in the pool: who has it, and how far what was said of it has been read.

    `gone_s` is since when it has been nowhere: whoever takes it renames it meanwhile.
    """

    parcel: Parcel
    ticket: Ticket
    holder: str | None = None
    read: int = 0
    lost: int = 0
    reported: bool = False
    gone_s: float | None = None

    @property
    def job(self) -> Job:
        return self.parcel.job


class SharedEngine:
    """Trains jobs in workers that take them from the home's pool.

    Args:
        setups: one for each job that may be under way at a time.
        pool: in which jobs are put.
        study: their study.
        silent_s: seconds without a beat after which a worker is lost.
    """

    def __init__(
        self, setups: Sequence[WorkerSetup], *, pool: Pool, study: str, silent_s: float = SILENT_S
    ) -> None:
        pool.create()
        self._setups = deque(setups)
        self._pool = pool
        self._study = study
        self._silent_s = silent_s
        self._queue: deque[Job] = deque()
        self._placed: dict[str, _Placed] = {}
        self._ready: deque[Message] = deque()
        self._beats: dict[str, tuple[int, float]] = {}
        self._seen_s = time.monotonic()
        self._looked_s = float("-inf")
        self._missed = False
        self._closed = False
        self.workers = len(setups)

    def submit(self, job: Job) -> None:
        """Take a job; one that an earlier driver of the study has put there is gone on with."""
        if job.key in self._placed or any(job.key == other.key for other in self._queue):
            raise ValueError(f"job {job.key} is under way")
        self._queue.append(job)
        self._place()

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in; at once if it has not begun."""
        for job in self._queue:
            if job.key == key:
                self._queue.remove(job)
                self._ready.append(Outcome.not_begun(key))
                return
        placed = self._placed.get(key)
        if placed is None:
            return
        if not placed.reported and self._pool.withdraw(placed.ticket):
            self._end(Outcome.not_begun(key))
        else:
            self._pool.say(placed.ticket, "stop")

    def events(self, timeout_s: float) -> list[Message]:
        """Wait up to `timeout_s` for at least one message and return what came."""
        end = time.monotonic() + timeout_s
        while True:
            self._listen()
            left = end - time.monotonic()
            if self._ready or left <= 0:
                break
            time.sleep(min(_POLL_S, left))
        found = list(self._ready)
        self._ready.clear()
        return found

    def close(self) -> None:
        """Have workers drop what is under way, and take back what waits."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        for placed in self._placed.values():
            if not self._pool.withdraw(placed.ticket):
                self._pool.say(placed.ticket, "end")
        self._placed.clear()

    # --- jobs -----------------------------------------------------------------------------------------------

    def _place(self) -> None:
        while self._queue and len(self._placed) < self.workers:
            job = self._queue.popleft()
            # One setup is as good as another: which GPU it comes to, the worker says.
            setup = self._setups[0]
            self._setups.rotate(-1)
            nonce = uuid.uuid4().hex if job.measure_s is not None else ""
            parcel = Parcel(study=self._study, job=job, setup=setup, nonce=nonce)
            ticket = Ticket.of(parcel.away_from(self._pool.home))
            earlier = self._earlier(ticket)
            if earlier is None:
                self._pool.put(ticket, parcel)
            self._placed[job.key] = _Placed(parcel, earlier or ticket)

    def _earlier(self, ticket: Ticket) -> Ticket | None:
        """Return the ticket that an earlier driver has given the same job; None: none has."""
        there = [*self._pool.waiting(), *(one for one, _ in self._pool.tickets_taken())]
        same = (one for one in there if one.is_of(ticket) and self._pool.word(one) is None)
        return next(same, None)

    def _end(self, outcome: Outcome) -> None:
        placed = self._placed.pop(outcome.key)
        self._pool.forget(placed.ticket)
        self._ready.append(outcome)
        self._place()

    # --- what workers say ------------------------------------------------------------------------------

    def _listen(self) -> None:
        if not self._placed:
            return
        now = time.monotonic()
        holders = dict(self._pool.tickets_taken())
        waiting = set(self._pool.waiting())
        present = self._present(now)
        for placed in list(self._placed.values()):
            holder = holders.get(placed.ticket)
            if holder is not None:
                self._hear(placed, holder)
            if placed.job.key not in self._placed:
                continue
            if holder is not None:
                self._check(placed, holder, present)
            else:
                self._find(placed, now, there=placed.ticket in waiting)
        self._tell_if_alone(present, now)

    def _hear(self, placed: _Placed, holder: str) -> None:
        """Take what a worker has said of a job."""
        placed.gone_s = None
        if holder != placed.holder:
            if placed.reported and placed.holder is not None:  # it goes on from an earlier epoch
                why = f"worker {placed.holder} has left"
                self._ready.append(WorkerLost(why=why, key=placed.job.key))
            placed.holder, placed.read = holder, 0
        messages, placed.read = self._pool.read(placed.ticket, holder, placed.read)
        for message in messages:
            if isinstance(message, Outcome):
                self._end(message)
                return
            placed.reported = True
            self._ready.append(message)

    def _find(self, placed: _Placed, now: float, *, there: bool) -> None:
        """Put a job into the pool once more where somebody has cleared it away."""
        if there:
            placed.gone_s = None
        elif placed.gone_s is None:
            placed.gone_s = now
        elif now - placed.gone_s > self._silent_s:
            self._pool.put(placed.ticket, placed.parcel)

    def _present(self, now: float) -> set[str]:
        """Return the workers that have beaten lately, by this process's own clock."""
        fresh = now - self._looked_s < _LOOK_S
        for beat in () if fresh else self._pool.beats():
            self._looked_s = now
            count, since = self._beats.get(beat.worker, (-1, now))
            self._beats[beat.worker] = (beat.count, now if beat.count != count else since)
        return {
            worker for worker, (_, since) in self._beats.items() if now - since < self._silent_s
        }

    def _check(self, placed: _Placed, holder: str, present: set[str]) -> None:
        """Give a job to another worker where the one that has it is lost."""
        if holder not in self._beats:  # it left before this process began, or is about to beat
            self._beats[holder] = (-1, time.monotonic())
            return
        if holder in present or not self._pool.put_back(placed.ticket, holder):
            return
        self._pool.leave(holder)  # it says that it is there again, if it ever is
        placed.lost += 1
        why = f"worker {holder} said nothing for {self._silent_s:.0f} s"
        if placed.lost < LOSSES and (placed.job.checkpoint or not placed.reported):
            self._ready.append(WorkerLost(why=why, key=placed.job.key))
            placed.holder, placed.read = None, 0
        else:
            times = f" ({placed.lost} times)" if placed.lost > 1 else ""
            self._end(Outcome(key=placed.job.key, status="failed", reason=why + times))

    def _tell_if_alone(self, present: set[str], now: float) -> None:
        if present:
            self._seen_s, self._missed = now, False
        elif not self._missed and now - self._seen_s > _ALONE_S:
            self._missed = True
            self._ready.append(WorkerLost(why=f"no worker is there; {_how(self._pool.home)}"))


def _how(home: Path) -> str:
    return f"`archsearch worker {shlex.quote(str(home))}`, on any machine that has this folder, starts one"


class SharedKind:
    """Engines whose workers are wherever somebody starts them."""

    def machine(self, home: Path) -> Machine:
        """Return what the workers that are there have together.

        Raises:
            UserError: there is none.
        """
        pool = Pool(home)
        pool.create()
        found = [beat.machine for beat in pool.present()]
        if not found:
            raise UserError(f"--engine shared: no worker is there; {_how(home)}")
        gpus = [gpu for machine in found for gpu in machine.gpus]
        known = [machine.gpu_memory_bytes for machine in found if machine.gpu_memory_bytes]
        processors = {machine.processor for machine in found}
        return Machine(
            cores=sum(machine.cores for machine in found),
            gpus=tuple(str(number) for number in range(len(gpus))),
            memory_bytes=sum(machine.memory_bytes for machine in found),
            gpu_memory_bytes=min(known, default=None),
            processor=processors.pop() if len(processors) == 1 else "",
        )

    def open(self, setups: Sequence[WorkerSetup], *, home: Path, folder: Path) -> SharedEngine:
        """Return an engine on the home's pool; workers keep their logs there."""
        return SharedEngine(setups, pool=Pool(home), study=folder.parent.name)


SHARED: Final = SharedKind()
