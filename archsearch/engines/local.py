"""Worker processes on this machine: kept warm over many jobs, replaced when they die or grow."""

import contextlib
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from archsearch.engines import mps
from archsearch.engines.engine import Machine, Message
from archsearch.errors import MachineError
from archsearch.main_memory import main_memory, memory_kills
from archsearch.training.devices import cores, gpu_memory_bytes, gpu_numbers, processor
from archsearch.training.faults import OUT_OF_MEMORY, gpu_is_lost
from archsearch.training.job import (
    Cause,
    EpochReport,
    Job,
    Outcome,
    WorkerLost,
    from_json,
    to_json,
)
from archsearch.training.processes import Child, leave_if_imported, start
from archsearch.training.setup import WorkerSetup
from archsearch.training.worker import ALIVE, JOB, STOP, main
from archsearch.units import counted

Main = Callable[[Connection, WorkerSetup, str], None]
"""A worker's main loop: its end of the pipe, what to train with, the log file for what libraries say.

In come `job` and `stop` messages, out go reports and outcomes, and `alive` before all others; it ends
when the pipe closes.
"""

SILENCE_S: Final = 2 * 3600.0
"""Seconds after which a silent worker is taken to hang: no sixteen steps of a sensible trial take longer."""
_START_FAILURES: Final = 3
"""Deaths in a row, before it could take a job, after which a worker is given up."""
_GRACE_S: Final = 2.0
_NOTICE_S: Final = 0.5
"""Seconds from when a process's connections close until it has ended."""


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, and the job it has; `peers` are others that train it together with this one.

    They are given the same jobs, and only the first one is asked about them. Where one of them ends, all do.
    """

    number: int
    child: Child
    peers: tuple[Child, ...] = ()
    job: Job | None = None
    heard: float = 0.0
    started: bool = False
    meeting: str | None = None

    @property
    def members(self) -> tuple[Child, ...]:
        """All its processes, the first one first."""
        return (self.child, *self.peers)


class LocalEngine:
    """Trains jobs in `workers` processes of its own.

    A job that keeps checkpoints is tried once more where its worker died or broke; it goes on from the
    last of them, and its epochs before that are reported once more. One that ran out of memory is tried
    once more with its batches in twice as many parts. A worker that does not start any more, as on a GPU that
    is lost, is done without.

    Args:
        setups: one for each process; a process has one job at a time.
        logs: folder for what the workers' libraries say.
        main: what a worker runs (tests bring their own).
        memory_bytes: a worker that has grown beyond this is replaced between jobs; None takes
            half of the memory it may use, shared between the workers.
        silence_s: a worker that says nothing about its job for so long is ended.
    """

    def __init__(
        self,
        setups: Sequence[WorkerSetup],
        *,
        logs: Path,
        main: Main = main,
        memory_bytes: int | None = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        leave_if_imported()
        logs.mkdir(parents=True, exist_ok=True)
        self._mps = mps.start(setups, logs / "mps.log")
        folder = self._mps.folder if self._mps is not None else None
        self._setups = tuple(replace(setup, mps=folder) for setup in setups)
        self._logs = logs
        self._main = main
        self._memory_bytes = memory_bytes or main_memory().total_bytes // 2 // len(setups)
        self._silence_s = silence_s
        self._kills = memory_kills()
        self._queue: deque[Job] = deque()
        self._ready: deque[Message] = deque()
        self._tried: dict[str, str] = {}  # jobs whose worker has died once, and why
        self._stopping: set[str] = set()
        self._start_failures = [0] * len(setups)
        self._ever_started = False
        self._closed = False
        # All start at once: importing the framework takes seconds, and goes on beside the driver.
        self._workers = [self._spawn(number) for number in range(len(setups))]

    @property
    def workers(self) -> int:
        """Jobs that train at the same time."""
        return len(self._workers)

    def submit(self, job: Job) -> None:
        """Take a job."""
        if any(job.key == other.key for other in self._jobs()):
            raise ValueError(f"job {job.key} is under way")
        self._queue.append(job)
        self._assign()

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in; at once if it has not begun."""
        for job in self._queue:
            if job.key == key:
                self._queue.remove(job)
                self._ready.append(Outcome.not_begun(key))
                return
        for worker in self._workers:
            if worker.job is not None and worker.job.key == key:
                self._stopping.add(key)
                self._send(worker.child, (STOP, key))

    def events(self, timeout_s: float) -> list[Message]:
        """Wait up to `timeout_s` for at least one message and return what came.

        Raises:
            MachineError: workers die one after another before they can take a job.
            UserError: they do as the calling script has no main guard.
        """
        end = time.monotonic() + timeout_s
        while not self._ready and self._jobs():
            left = max(0.0, end - time.monotonic())
            by_pipe = {c.pipe: (worker, c) for worker in self._workers for c in worker.members}
            # A dead process closes its end of the pipe, which makes the pipe readable.
            for pipe in wait(list(by_pipe), left):
                assert isinstance(pipe, Connection)
                worker, child = by_pipe[pipe]
                if worker not in self._workers:  # replaced a moment ago
                    continue
                if child is worker.child:
                    self._receive(worker)
                else:
                    self._look_at(worker, child)
            self._end_silent()
            if time.monotonic() >= end:
                break
        if not self._ready and not self._jobs():
            time.sleep(max(0.0, min(timeout_s, end - time.monotonic())))
        found = list(self._ready)
        self._ready.clear()
        return found

    def close(self) -> None:
        """End the workers at once."""
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        for worker in self._workers:
            self._let_go(worker)
            for child in worker.members if worker.job is not None else ():
                child.process.kill()  # its files are written whole or not at all
        for worker in self._workers:
            self._bury(worker)
        if self._mps is not None:
            self._mps.close()

    def _jobs(self) -> list[Job]:
        return [worker.job for worker in self._workers if worker.job] + list(self._queue)

    def _assign(self) -> None:
        for worker in self._workers:
            if worker.job is None and self._queue:
                worker.job = self._queue.popleft()
                worker.heard = time.monotonic()
                for child in worker.members:
                    self._send(child, (JOB, to_json(worker.job)))

    def _send(self, child: Child, message: tuple[str, str]) -> None:
        # One that has died says so when its pipe is read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            child.pipe.send(message)

    def _look_at(self, worker: _Worker, peer: Child) -> None:
        """Take what another process of a worker has said, which is that it is there, or nothing any more."""
        try:
            while peer.pipe.poll():
                peer.pipe.recv()
        except (EOFError, OSError):
            # The others wait for it. What the first one has said before counts.
            self._receive(worker)
            if worker in self._workers:
                self._replace_dead(worker, peer)

    def _receive(self, worker: _Worker) -> None:
        """Take what a worker has said, to the last word of one that has died."""
        try:
            while worker.child.pipe.poll():
                text = worker.child.pipe.recv()
                worker.heard = time.monotonic()
                if text == ALIVE:
                    worker.started = self._ever_started = True
                    self._start_failures[worker.number] = 0
                    continue
                message = from_json(text)
                if isinstance(message, EpochReport):
                    self._ready.append(message)
                elif isinstance(message, Outcome):
                    self._free(worker, message)
                    return
        except (EOFError, OSError):  # also one cut off within a word
            self._replace_dead(worker, worker.child)

    def _free(self, worker: _Worker, outcome: Outcome) -> None:
        job, worker.job = worker.job, None
        broken = outcome.cause == "worker"
        if broken and (why := _who_ended(worker.peers)):
            outcome = replace(outcome, reason=f"worker died: {why}")
        if broken or outcome.held_bytes > self._memory_bytes:
            self._let_go(worker)
            self._bury(worker)
            self._renew(worker)
        if broken and job is not None:
            self._lose(job, outcome)
        else:
            self._end(outcome)
        self._assign()

    def _replace_dead(self, worker: _Worker, dead: Child) -> None:
        dead.process.join(_GRACE_S)
        why = dead.why_ended()
        self._let_go(worker)
        for child in worker.peers and worker.members:  # those that wait for it would do so for ever
            child.process.kill()
        self._bury(worker)
        if worker.started:
            kills, self._kills = self._kills, memory_kills()
            died = f"worker died: {why}"
            if signal.SIGKILL.name in why and self._kills > kills:
                died = f"{OUT_OF_MEMORY}: the system has ended the worker"
            if worker.job is not None:
                self._lose(worker.job, Outcome(key=worker.job.key, status="failed", reason=died))
            else:
                self._ready.append(WorkerLost(why=died))
            self._renew(worker)
        else:
            if worker.job is not None and worker.job.key in self._stopping:
                self._end(Outcome.not_begun(worker.job.key))
            elif worker.job is not None:  # which is hardly to blame
                self._queue.appendleft(worker.job)
            self._start_again(worker, why)
        self._assign()

    def _start_again(self, worker: _Worker, why: str) -> None:
        """Start a worker that has died at its start, or do without it."""
        self._start_failures[worker.number] += 1
        if self._start_failures[worker.number] < _START_FAILURES:
            self._renew(worker)
            return
        self._workers.remove(worker)
        # Where none has ever started, the others would fail as often.
        if not self._workers or not self._ever_started:
            raise MachineError(f"worker processes do not start: {why}; see {worker.child.log}")
        left = counted(len(self._workers), "worker")
        self._ready.append(WorkerLost(why=f"a worker does not start any more ({why}); {left} left"))

    def _lose(self, job: Job, outcome: Outcome) -> None:
        """Decide what becomes of a job whose worker died or broke: it may be no fault of the job's."""
        if job.key in self._stopping:  # it was to end there anyway
            self._end(replace(outcome, status="pruned"))
        elif job.key not in self._tried and (again := _again(job, outcome.reason)) is not None:
            self._tried[job.key] = outcome.reason
            self._ready.append(WorkerLost(why=outcome.reason, key=job.key))
            self._queue.appendleft(again)
        else:
            twice = " (twice)" if job.key in self._tried else ""
            cause: Cause = "machine" if _is_the_machines(outcome.reason) else "network"
            self._end(replace(outcome, reason=f"{outcome.reason}{twice}", cause=cause))

    def _end(self, outcome: Outcome) -> None:
        self._stopping.discard(outcome.key)
        self._ready.append(replace(outcome, worker_lost=self._tried.pop(outcome.key, "")))

    def _end_silent(self) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if worker.job is not None and now - worker.heard > self._silence_s:
                for child in worker.members:
                    child.process.kill()
                self._let_go(worker)
                self._bury(worker)
                reason = f"worker said nothing for {self._silence_s:.0f} s and was ended"
                self._end(Outcome(key=worker.job.key, status="failed", reason=reason))
                self._renew(worker)
        self._assign()

    def _renew(self, worker: _Worker) -> None:
        self._workers[self._workers.index(worker)] = self._spawn(worker.number)

    def _spawn(self, number: int) -> _Worker:
        setup, name = self._setups[number], f"worker-{number}"
        log = self._logs / f"{name}.log"
        if setup.devices == 1:
            return _Worker(number, start(self._main, setup, name=name, log=log))
        meeting = tempfile.mkdtemp(prefix="archsearch-team-")
        members = [setup.member(rank, meeting=f"{meeting}/file") for rank in range(setup.devices)]
        names = [name, *(f"{name}-{rank}" for rank in range(1, setup.devices))]
        first, *peers = (
            start(self._main, member, name=own, log=self._logs / f"{own}.log")
            for member, own in zip(members, names, strict=True)
        )
        return _Worker(number, first, tuple(peers), meeting=meeting)

    def _let_go(self, worker: _Worker) -> None:
        for child in worker.members:
            child.pipe.close()

    def _bury(self, worker: _Worker) -> None:
        for child in worker.members:
            child.process.join(_GRACE_S)
            if child.process.is_alive():
                child.process.kill()
                child.process.join()
            child.process.close()
        if worker.meeting is not None:
            shutil.rmtree(worker.meeting, ignore_errors=True)


def _who_ended(peers: Sequence[Child]) -> str:
    """Return why one of a worker's other processes ended, or nothing where none did."""
    for peer in peers:
        peer.process.join(_NOTICE_S)
        if peer.process.exitcode:
            return peer.why_ended()
    return ""


def _again(job: Job, reason: str) -> Job | None:
    """Return a job as it is tried once more: with batches in twice as many parts where memory ran out."""
    if reason.startswith(OUT_OF_MEMORY) and job.measure_s is None:
        return job.finer
    return job if job.checkpoint else None


def _is_the_machines(reason: str) -> bool:
    """Whether a worker's death says that another network would have met it, too.

    A file that is mapped gives SIGBUS where its disk does not answer, or it has been cut off.
    """
    return gpu_is_lost(reason) or signal.SIGBUS.name in reason


class LocalKind:
    """Engines of worker processes on this machine."""

    def machine(self, home: Path) -> Machine:
        """Return this machine, as far as this process may use it."""
        return Machine(
            cores=cores(),
            gpus=gpu_numbers(),
            memory_bytes=main_memory().free_bytes,
            gpu_memory_bytes=gpu_memory_bytes(),
            processor=processor(),
        )

    def open(self, setups: Sequence[WorkerSetup], *, home: Path, folder: Path) -> LocalEngine:
        """Start worker processes and return their engine."""
        return LocalEngine(setups, logs=folder)


LOCAL: Final = LocalKind()
