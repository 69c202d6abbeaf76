"""A worker of a pool: takes jobs from a folder, trains them in its processes, tells what comes of them.

It needs no driver to be there, and no other worker to know of it.
"""

import os
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from archsearch.engines.engine import Machine, Message
from archsearch.engines.local import LOCAL, LocalEngine, Main
from archsearch.engines.pool import BEAT_S, VERSION, Beat, Parcel, Pool, Ticket
from archsearch.errors import ArchsearchError, UserError
from archsearch.main_memory import main_memory
from archsearch.training.job import Outcome
from archsearch.training.setup import WorkerSetup
from archsearch.training.worker import main as train_jobs

_POLL_S: Final = 0.1


@dataclass(slots=True)
class _Slot:
    """A job that trains here, and the processes that train it; they stay warm for the next one like it."""

    setup: WorkerSetup
    engine: LocalEngine
    ticket: Ticket | None = None
    key: str = ""
    stopping: bool = False


@dataclass(slots=True, kw_only=True)
class PoolWorker:
    """Trains jobs of a pool, as many at a time as the machine has threads or GPUs for.

    Attributes:
        pool: where they come from.
        machine: cores and GPUs it may use.
        tell: told what it does, a line each.
        idle_s: seconds without a job after which it leaves; None: it stays.
        main: what its processes run.
        name: of this worker, in its pool.
    """

    pool: Pool
    machine: Machine
    tell: Callable[[str], None] = lambda text: None
    idle_s: float | None = None
    main: Main = train_jobs
    name: str = field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
    )
    _slots: list[_Slot] = field(default_factory=list)
    _leaving: threading.Event = field(default_factory=threading.Event)
    _refused: set[str] = field(default_factory=set)

    def leave(self) -> None:
        """Have it put back what it trains, and end: another worker goes on from the checkpoints."""
        self._leaving.set()

    def run(self) -> None:
        """Train jobs until it is to leave, or has had none for so long."""
        self.pool.create()
        busy_s = time.monotonic()
        with self._beating():
            try:
                while not self._leaving.is_set():
                    for slot in self._busy:
                        self._attend(slot)
                    self._fill()
                    now = time.monotonic()
                    if self._busy:
                        busy_s = now
                    elif self.idle_s is not None and now - busy_s > self.idle_s:
                        self.tell(f"no job for {self.idle_s:.0f} s: leaves")
                        break
                    self._leaving.wait(_POLL_S)
            finally:
                self._put_back()

    @property
    def _busy(self) -> list[_Slot]:
        return [slot for slot in self._slots if slot.ticket is not None]

    # --- taking ---------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Take the jobs that have waited longest, as long as there is room."""
        for ticket in self.pool.waiting():
            parcel = self.pool.peek(ticket)
            if parcel is None or not self._accepts(parcel):
                continue
            setup = self._room_for(parcel.setup)
            if setup is None:
                return  # in order: a smaller one that came later waits, too
            if self.pool.take(ticket, self.name):
                self._begin(ticket, parcel, setup)

    def _accepts(self, parcel: Parcel) -> bool:
        if parcel.version != VERSION and parcel.version not in self._refused:
            self._refused.add(parcel.version)
            self.tell(f"leaves jobs of archsearch {parcel.version} to others: this is {VERSION}")
        there = (
            parcel.job.checkpoint is None or (self.pool.home / "studies" / parcel.study).is_dir()
        )
        return parcel.version == VERSION and there

    def _room_for(self, setup: WorkerSetup) -> WorkerSetup | None:
        """Return the setup with GPUs of this machine; None where there is no room now."""
        used = [slot.setup for slot in self._busy]
        if setup.gpu is None:
            cores = sum(other.threads * other.devices for other in used if other.gpu is None)
            fits = not used or cores + setup.threads * setup.devices <= self.machine.cores
            return setup if fits else None
        load = dict.fromkeys(self.machine.gpus, 0.0)
        for other in used:
            for gpu in other.gpus or (other.gpu,):
                if gpu is not None:
                    load[gpu] += other.gpu_share
        free = sorted(gpu for gpu in load if load[gpu] + setup.gpu_share <= 1.001)
        if len(free) < setup.devices:
            return None
        mine = tuple(sorted(free, key=lambda gpu: load[gpu])[: setup.devices])
        return replace(setup, gpu=mine[0], gpus=mine if setup.devices > 1 else ())

    def _begin(self, ticket: Ticket, parcel: Parcel, setup: WorkerSetup) -> None:
        slot = self._slot_for(setup)
        slot.ticket, slot.key, slot.stopping = ticket, parcel.job.key, False
        slot.engine.submit(parcel.job)
        self.tell(f"{parcel.study}: {parcel.job.key} begins")

    def _slot_for(self, setup: WorkerSetup) -> _Slot:
        """Return processes that wait for a job of such a setup, or new ones in place of others that wait."""
        idle = [slot for slot in self._slots if slot.ticket is None]
        for slot in idle:
            if slot.setup == setup:
                return slot
        for slot in idle:
            self._drop(slot)
        share = main_memory().total_bytes // 2 // max(1, self.machine.cores // setup.threads)
        logs = self.pool.logs / self.name / str(len(self._slots))
        slot = _Slot(setup, LocalEngine([setup], logs=logs, main=self.main, memory_bytes=share))
        self._slots.append(slot)
        return slot

    # --- while a job trains ---------------------------------------------------------------------------

    def _attend(self, slot: _Slot) -> None:
        """Pass on what a job's processes say, and what the driver says of it."""
        ticket = slot.ticket
        assert ticket is not None
        word = self.pool.word(ticket)
        if word == "end" or not self.pool.has(ticket, self.name):
            self._let_go(slot, ticket)
            return
        if word == "stop" and not slot.stopping:
            slot.stopping = True
            slot.engine.stop(slot.key)
        try:
            messages: list[Message] = slot.engine.events(0.0)
        except ArchsearchError as error:  # its processes do not start
            messages = [Outcome(key=slot.key, status="failed", reason=str(error), cause="machine")]
        if not messages:
            return
        self.pool.tell(ticket, self.name, messages)
        for message in messages:
            if isinstance(message, Outcome):
                self.tell(f"{slot.key}: {message.reason or message.status}")
                slot.ticket = None
                if message.cause == "machine":
                    self._drop(slot)

    def _let_go(self, slot: _Slot, ticket: Ticket) -> None:
        """End a job that is wanted no more, or that another worker has."""
        self.tell(f"{slot.key}: is wanted no more")
        if self.pool.has(ticket, self.name):
            self.pool.forget(ticket)
        self._drop(slot)

    def _drop(self, slot: _Slot) -> None:
        slot.engine.close()
        self._slots.remove(slot)

    def _put_back(self) -> None:
        for slot in list(self._slots):
            ticket = slot.ticket
            self._drop(slot)
            if ticket is not None and self.pool.put_back(ticket, self.name):
                self.tell(f"{slot.key}: put back")
        shutil.rmtree(self.pool.logs / self.name, ignore_errors=True)

    @contextmanager
    def _beating(self) -> Iterator[None]:
        """Say every few seconds that this worker is there, also while a process of it starts."""
        ended = threading.Event()

        def beat() -> None:
            count = 0
            while not ended.is_set():
                self.pool.beat(Beat(self.name, count, self.machine))
                count += 1
                ended.wait(BEAT_S)

        thread = threading.Thread(target=beat, name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self.pool.leave(self.name)


def serve(
    home: Path,
    *,
    cores: int | None = None,
    idle_s: float | None = None,
    tell: Callable[[str], None],
) -> None:
    """Train jobs of a home's pool on this machine until a signal comes: SIGINT, SIGTERM, SIGHUP.

    Args:
        home: a folder that the driver has, too; it may lie elsewhere there.
        cores: that it may use; None: all.
        idle_s: seconds without a job after which it ends; None: it stays.
        tell: told what it does.

    Raises:
        UserError: no folder can be there.
    """
    pool = _made_pool(home)
    if not (home / "studies").is_dir():
        tell(f"{home} has no study yet: is it the folder that runs have as their --home?")
    machine = LOCAL.machine(home)
    if cores is not None:
        machine = replace(machine, cores=cores)
    worker = PoolWorker(pool=pool, machine=machine, tell=tell, idle_s=idle_s)

    def leave(number: int, frame: Any) -> None:
        worker.leave()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    tell(
        f"worker {worker.name}: waits for jobs in {worker.pool.home} (Ctrl-C puts back what it trains)"
    )
    worker.run()


def _made_pool(home: Path) -> Pool:
    pool = Pool(home)
    try:
        pool.create()
    except OSError as error:
        raise UserError(
            f"no pool of jobs can be in {str(home)!r} ({error.strerror}); give the folder that runs are "
            "kept in, like mlruns"
        ) from error
    return pool
