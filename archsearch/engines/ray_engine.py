"""Workers on a Ray cluster, as the driver sees them: through a process that is connected in its place."""

import atexit
import os
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from archsearch.engines import ray_broker
from archsearch.engines.engine import Machine, Message
from archsearch.engines.local import Main
from archsearch.engines.ray_broker import AUTO, Open, Refused
from archsearch.engines.ray_data import scratch_folder
from archsearch.errors import MachineError, UserError
from archsearch.training.job import Job, Outcome, from_json, to_json
from archsearch.training.processes import Child, leave_if_imported, start
from archsearch.training.setup import WorkerSetup
from archsearch.training.worker import JOB, STOP
from archsearch.training.worker import main as train_jobs

_START_S: Final = 300.0
"""Seconds until a cluster has answered, or a new one has started."""
_END_S: Final = 30.0
_NOTICE_S: Final = 2.0
_LOG_PREFIX: Final = re.compile(r"\[[^]]+\] \S+:\d+: ")
"""What stands before a line of Ray's log: when it was written, by which process, and where."""


class Broker:
    """A process that is connected to a cluster.

    Args:
        address: of the cluster (see `archsearch.engines.ray_broker.main`).

    Attributes:
        machine: what the cluster has.

    Raises:
        UserError: there is no such cluster.
        MachineError: the process ended.
    """

    def __init__(self, address: str) -> None:
        leave_if_imported()
        self._address = address
        self._folder = scratch_folder("ray")
        self._log = self._folder / "ray.log"
        self._child: Child = start(
            ray_broker.main, address, str(self._folder), name="ray", log=self._log
        )
        try:
            if not self._child.pipe.poll(_START_S):
                raise MachineError(
                    f"--engine ray: no answer from {address} within {_START_S:.0f} s"
                )
            found = self.receive()
            assert isinstance(found, Machine)
            self.machine = found
        except BaseException:
            self.close()
            raise

    def send(self, message: object) -> None:
        """Say something to it; one that has ended says so when it is listened to."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self._child.pipe.send(message)

    def poll(self, timeout_s: float) -> bool:
        """Whether it has something to say, within so many seconds."""
        return self._child.pipe.poll(timeout_s)

    def receive(self) -> object:
        """Return what it says.

        Raises:
            MachineError: the cluster is lost, or no worker starts there.
            UserError: there is none.
        """
        try:
            found = self._child.pipe.recv()
        except (EOFError, OSError):
            self._child.process.join(_NOTICE_S)
            why = _LOG_PREFIX.sub("", self._child.why_ended())
            raise MachineError(f"the Ray cluster at {self._address} is lost ({why})") from None
        if isinstance(found, Refused):
            raise found.error()
        return found

    def close(self, log: Path | None = None) -> None:
        """End it, its workers with it, and a cluster of its own; its log is kept where that is given."""
        process = self._child.process
        self._child.pipe.close()
        process.join(_END_S)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()
        if log is not None and self._log.exists():
            log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("rb") as said, log.open("ab") as kept:
                shutil.copyfileobj(said, kept)
        shutil.rmtree(self._folder, ignore_errors=True)


class RayEngine:
    """Trains jobs in workers on a Ray cluster.

    A job whose node is lost goes on elsewhere from its last checkpoint, which is kept in the home.

    Args:
        broker: is connected to the cluster; it ends with the engine.
        setups: one for each job that may be under way at a time.
        logs: folder for what Ray prints.
        main: what a worker runs.
    """

    def __init__(
        self, broker: Broker, setups: Sequence[WorkerSetup], *, logs: Path, main: Main = train_jobs
    ) -> None:
        self._broker = broker
        self._log = logs / "ray.log"
        self._jobs: set[str] = set()
        self._closed = False
        self.workers = len(setups)
        broker.send(Open(tuple(setups), main))

    def submit(self, job: Job) -> None:
        """Take a job."""
        if job.key in self._jobs:
            raise ValueError(f"job {job.key} is under way")
        self._jobs.add(job.key)
        self._broker.send((JOB, to_json(job)))

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in; at once if it has not begun."""
        if key in self._jobs:
            self._broker.send((STOP, key))

    def events(self, timeout_s: float) -> list[Message]:
        """Wait up to `timeout_s` for at least one message and return what came.

        Raises:
            MachineError: the cluster is lost, or no worker starts there.
        """
        found: list[Message] = []
        end = time.monotonic() + timeout_s
        while self._broker.poll(0.0 if found else max(0.0, end - time.monotonic())):
            text = self._broker.receive()
            assert isinstance(text, str)
            message = from_json(text)
            assert not isinstance(message, Job)
            if isinstance(message, Outcome):
                self._jobs.discard(message.key)
            found.append(message)
        return found

    def close(self) -> None:
        """End the workers at once."""
        if not self._closed:
            self._closed = True
            self._broker.close(self._log)


class RayKind:
    """Engines on a Ray cluster.

    Args:
        address: `auto`, `local`, or HOST:PORT of its head; None: what the variable RAY_ADDRESS says, or auto.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._waiting: Broker | None = None

    def at(self, address: str) -> "RayKind":
        """Return engines on another cluster."""
        return RayKind(address)

    def machine(self, home: Path) -> Machine:
        """Return what the cluster's nodes have together, and may yet get.

        Raises:
            UserError: there is no cluster, or Ray is not installed.
        """
        self._waiting = self._waiting or self._connected()
        return self._waiting.machine

    def open(self, setups: Sequence[WorkerSetup], *, home: Path, folder: Path) -> RayEngine:
        """Start workers on the cluster and return their engine."""
        return RayEngine(self._taken(), setups, logs=folder)

    def _taken(self) -> Broker:
        """Return the process that has asked for the machine, or a new one: each serves one engine."""
        broker, self._waiting = self._waiting or self._connected(), None
        atexit.unregister(self._drop)
        return broker

    def _connected(self) -> Broker:
        if find_spec("ray") is None:
            raise UserError("--engine ray: Ray is not installed; pip install 'archsearch[ray]'")
        atexit.register(self._drop)  # where no engine is opened after all
        return Broker(self._address or os.environ.get("RAY_ADDRESS") or AUTO)

    def _drop(self) -> None:
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None


RAY: Final = RayKind()
