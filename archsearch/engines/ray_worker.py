"""Workers on a node of a Ray cluster: an actor that has a local engine there, and speaks for it."""

import contextlib
import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from archsearch.engines.local import LocalEngine, Main
from archsearch.engines.ray_data import (
    Shipment,
    checkpoints,
    local_copy,
    node_folder,
    read_files,
    scratch_folder,
)
from archsearch.errors import MachineError
from archsearch.main_memory import main_memory
from archsearch.training.devices import cores
from archsearch.training.job import EpochReport, Job, Outcome, from_json, to_json
from archsearch.training.setup import WorkerSetup
from archsearch.whole_files import write_whole

VERSION: Final = version("archsearch")


@dataclass(frozen=True, slots=True)
class Told:
    """What a worker says, and the files that it left with it.

    Attributes:
        text: the message, as JSON.
        checkpoint: name and content of a job's newest.
        weights: a job's, at its end.
    """

    text: str
    checkpoint: tuple[str, bytes] | None = None
    weights: bytes | None = None


class RayWorker:
    """The actor: workers of one place, on the node that Ray has chosen.

    Whatever is known of worker processes that die or grow is the local engine's; only a lost node, or a lost
    actor, is its caller's to mend.

    Args:
        setups: of its workers.
        main: what they run.
    """

    def __init__(self, setups: Sequence[WorkerSetup], main: Main) -> None:
        _forget_program()
        with contextlib.suppress(OSError):  # Ray's workers are at +15; back it takes a right
            os.setpriority(os.PRIO_PROCESS, 0, 0)
        self._folder = scratch_folder("work")
        self._jobs: dict[str, Job] = {}
        self._sent: dict[str, str] = {}
        here = on_node(setups, os.environ.get("CUDA_VISIBLE_DEVICES", ""))
        others = max(1, cores() // (here[0].threads * here[0].devices * len(here)))
        share = main_memory().total_bytes // 2 // others // len(here)
        logs = self._folder / "logs"
        self._engine = LocalEngine(here, logs=logs, main=main, memory_bytes=share)

    def greet(self) -> tuple[str, str]:
        """Return the node's name and this version."""
        return socket.gethostname(), VERSION

    def submit(
        self,
        text: str,
        kept: Mapping[str, bytes],
        facts: str | None,
        shipment: Shipment | None,
    ) -> bool:
        """Take a job; False: its images are not on this node, and have to come with it.

        Args:
            text: the job, as JSON, with the driver's paths.
            kept: checkpoints to go on from.
            facts: what its images say of themselves.
            shipment: the images.
        """
        job = from_json(text)
        assert isinstance(job, Job)
        data = local_copy(Path(job.dataset), facts, shipment)
        if data is None:
            return False
        folder = self._folder_of(job.key)
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "checkpoint").mkdir(parents=True)
        for name, content in kept.items():
            write_whole(folder / "checkpoint" / name, content)
        self._jobs[job.key] = job
        self._sent[job.key] = max(kept, default="")
        self._engine.submit(
            replace(
                job,
                dataset=str(data) if job.dataset else "",
                weights=job.weights and str(folder / "weights.npz"),
                checkpoint=job.checkpoint and str(folder / "checkpoint"),
            )
        )
        return True

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in."""
        self._engine.stop(key)

    def events(self, wait_s: float) -> list[Told]:
        """Wait so long for at least one message, and return what came."""
        messages = self._engine.events(wait_s)
        last = {m.key: n for n, m in enumerate(messages) if isinstance(m, EpochReport)}
        told = []
        for number, message in enumerate(messages):
            text = to_json(message)
            if last.get(message.key) == number:
                told.append(Told(text, checkpoint=self._new_checkpoint(message.key)))
            elif isinstance(message, Outcome):
                weights = read_files([self._folder_of(message.key) / "weights.npz"])
                told.append(Told(text, weights=weights.get("weights.npz")))
                shutil.rmtree(self._folder_of(message.key), ignore_errors=True)
                self._jobs.pop(message.key, None)
            else:
                told.append(Told(text))
        return told

    def close(self) -> None:
        """End the workers at once."""
        self._engine.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _folder_of(self, key: str) -> Path:
        return self._folder / "jobs" / key

    def _new_checkpoint(self, key: str) -> tuple[str, bytes] | None:
        """Return a job's newest checkpoint, once."""
        job = self._jobs.get(key)
        kept = checkpoints(self._folder_of(key) / "checkpoint") if job and job.checkpoint else []
        if not kept or kept[-1].name == self._sent[key]:
            return None
        path = kept[-1]
        content = read_files([path]).get(path.name)
        if content is None:  # a newer one has come, and is sent with the next report
            return None
        self._sent[key] = path.name
        return path.name, content


def on_node(setups: Sequence[WorkerSetup], visible: str) -> tuple[WorkerSetup, ...]:
    """Return setups with the GPUs that Ray has given, by the names that it has given them.

    Args:
        setups: as they were planned.
        visible: the value of CUDA_VISIBLE_DEVICES.

    Raises:
        MachineError: Ray has given fewer than were asked for.
    """
    names = tuple(filter(None, visible.split(",")))
    found = []
    for setup in setups:
        cache = setup.cache
        if cache is not None and not Path(cache).parent.is_dir():
            cache = str(node_folder() / "compiled")
        if setup.gpu is None:
            found.append(replace(setup, cache=cache))
            continue
        if len(names) < setup.devices:
            raise MachineError(f"Ray gave {len(names)} GPUs where {setup.devices} are needed")
        gpus = names[: setup.devices] if setup.devices > 1 else ()
        found.append(replace(setup, cache=cache, gpu=names[0], gpus=gpus))
    return tuple(found)


def _forget_program() -> None:
    """Have processes that are started here not import the program of Ray's worker, which is `__main__`."""
    program = sys.modules["__main__"]
    program.__spec__ = None
    with contextlib.suppress(AttributeError):
        del program.__file__
