"""What an unfinished job needs to go on: a file an epoch, of which the last two are kept.

A file holds all that changes in a backend's steps (weights, moving statistics, momenta, the random
state of dropout) and the epochs so far. Which images come next and how they are augmented
follows from the number of the step. So a job that goes on ends as if it had never stopped.
"""

import hashlib
import json
import os
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from archsearch.training.backends.base import Steps
from archsearch.training.job import EpochReport, Job

Arrays = list[npt.NDArray[Any]]

_KEPT: Final = 2  # should the last one be damaged
_UNREADABLE: Final = (OSError, ValueError, EOFError, KeyError, TypeError, BadZipFile)
"""What comes of a file that is damaged, or another's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is.

    Attributes:
        steps: training steps taken, in this try.
        images: seen in them.
        train_s: seconds in them.
        total_s: seconds since the job began, interruptions left out.
        reports: of every epoch so far, those of a first try too.
        before: epochs begun in a first try that stalled; 0: this is the first.
        microbatches: in how many parts its batches were taken.
    """

    steps: int
    images: int
    train_s: float
    total_s: float
    reports: tuple[EpochReport, ...]
    before: int = 0
    microbatches: int = 1

    @property
    def epochs(self) -> int:
        """Epochs begun so far, of both tries: what tells a later checkpoint from an earlier one."""
        own = (report.epoch for report in self.reports if report.before == self.before)
        return self.before + max(own, default=0)


class Checkpoints:
    """A job's checkpoints, in a folder of its own.

    Who takes the job's outcome removes the folder: until the outcome is kept somewhere, the job
    may have to go on from here. A folder that has vanished is not made again.

    Args:
        folder: made if it is not there.
        job: what is trained; another job's checkpoints are ignored.
        digest: of the images it is trained on.
    """

    def __init__(self, folder: Path, job: Job, digest: str) -> None:
        self._folder = folder
        facts = {
            "key": job.key,
            "graph": job.graph,
            "backend": job.backend,
            "precision": job.precision,
            "recipe": asdict(job.recipe),
            "images": job.images,
            "seed": job.seed,
            "digest": digest,
        }
        if job.train_on != "train":  # what was always so is not told: checkpoints from before go on
            facts["train_on"] = job.train_on
        if job.fold:
            facts["fold"] = job.fold
        self._identity = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for part in folder.glob("*.part"):  # of a process that died while it wrote
                part.unlink(missing_ok=True)
        except OSError as error:
            _note(f"no checkpoints can be kept: {error}")

    def save(self, progress: Progress, steps: Steps) -> None:
        """Write a checkpoint: all of it, or nothing.

        A disk that is full costs the checkpoint, not the job.
        """
        arrays = _state(steps)
        about = {
            "job": self._identity,
            "progress": asdict(progress),
            "arrays": [[array.dtype.str, array.shape] for array in arrays],
        }
        path = self._folder / f"epoch-{progress.epochs:06d}.npz"
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                # Two long arrays: an entry for each variable would take longer than the writing.
                np.savez(
                    file,
                    about=np.frombuffer(json.dumps(about).encode(), np.uint8),
                    values=np.concatenate([array.reshape(-1).view(np.uint8) for array in arrays]),
                )
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
            _sync_folder(self._folder)
            for old in self._newest_first()[_KEPT:]:
                old.unlink(missing_ok=True)
        except FileNotFoundError:
            return  # the folder is gone: nobody waits for this job any more
        except OSError as error:
            part.unlink(missing_ok=True)
            _note(f"no checkpoint after epoch {progress.epochs}: {error}")

    def restore(self, steps: Steps) -> Progress | None:
        """Bring a network and its optimizer to the newest checkpoint that can be read.

        Returns:
            How far that is; None where there is none, and the job begins at its beginning.
        """
        wanted = [[array.dtype.str, list(array.shape)] for array in _state(steps)]
        for path in self._newest_first():
            try:
                progress, arrays = self._read(path, wanted)
            except _UNREADABLE as error:
                _note(f"checkpoint {path} is ignored: {error}")
                continue
            steps.restore(arrays)
            return progress
        return None

    def microbatches(self) -> int:
        """Return in how many parts batches were taken until the newest checkpoint; 1 where there is none."""
        for path in self._newest_first():
            with (
                suppress(*_UNREADABLE),
                path.open("rb") as file,
                np.load(file, allow_pickle=False) as stored,
            ):
                return int(self._about(stored)["progress"].get("microbatches", 1))
        return 1

    def _about(self, stored: Any) -> dict[str, Any]:
        about: dict[str, Any] = json.loads(stored["about"].tobytes())
        if about["job"] != self._identity:
            raise ValueError("it is another job's")
        return about

    def _read(self, path: Path, wanted: list[list[Any]]) -> tuple[Progress, Arrays]:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            about = self._about(stored)
            if about["arrays"] != wanted:
                raise ValueError("its variables are another model's")
            values = stored["values"]  # the archive's checksum is compared here
        arrays, begin = [], 0
        for kind, shape in wanted:
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(kind).itemsize
            arrays.append(values[begin : begin + size].view(kind).reshape(shape))
            begin += size
        if begin != len(values):
            raise ValueError(f"it has {len(values)} bytes of values, wanted {begin}")
        progress = about["progress"]
        reports = tuple(EpochReport(**report) for report in progress.pop("reports"))
        return Progress(**progress, reports=reports), arrays

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("epoch-*.npz"), reverse=True)


def _state(steps: Steps) -> Arrays:
    return [np.ascontiguousarray(array) for array in steps.state()]


def _sync_folder(folder: Path) -> None:
    """Have the new name survive a power cut, where folders can be synced."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # into the worker's log
