"""What a study keeps as files: settings, graphs, epochs, weights."""

import json
import logging
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from archsearch.checks import check_study_name
from archsearch.errors import GraphError, MachineError, UserError, one_line
from archsearch.ir.codec import content_hash, from_json
from archsearch.settings import RunSettings
from archsearch.training.job import EpochReport
from archsearch.units import counted
from archsearch.uris import shown_uri
from archsearch.whole_files import write_whole

_log = logging.getLogger(__name__)
_TEXTS: Final = 16
"""Networks whose JSON is held in memory."""


class StudyFolder:
    """`<home>/studies/<study>/`; paths are made from names that have been checked."""

    def __init__(self, home: Path, study: str) -> None:
        check_study_name(study)
        self.home = home
        self.path = home / "studies" / study
        self._texts: dict[str, str] = {}  # networks kept last, which are asked for right after

    @property
    def lock(self) -> Path:
        """Names the process that drives the study."""
        return self.path / "driver.lock"

    @property
    def settings(self) -> Path:
        """The settings, for `archsearch run --config`."""
        return self.path / "run.toml"

    @property
    def log(self) -> Path:
        """The driver's log."""
        return self.path / "driver.log"

    @property
    def worker_logs(self) -> Path:
        """What the workers and the libraries in them said."""
        return self.path / "workers"

    @property
    def models_log(self) -> Path:
        """What was said where models are measured and exported."""
        return self.worker_logs / "models.log"

    @property
    def compiled(self) -> Path:
        """Compiled programs, where the backend keeps any."""
        return self.path / "compiled"

    @property
    def exports(self) -> Path:
        """Exported models, one folder a format."""
        return self.path / "models"

    def weights(self, key: str) -> Path:
        """Return where a job's final weights go."""
        return self.path / "weights" / f"{key}.npz"

    def checkpoint(self, key: str) -> Path:
        """Return where a job leaves what it needs to go on after an interruption."""
        return self.path / "checkpoints" / key

    def drop_checkpoint(self, key: str) -> None:
        """Remove what a job that has ended left for going on."""
        shutil.rmtree(self.checkpoint(key), ignore_errors=True)

    def drop_compiled(self) -> None:
        """Remove compiled programs: a study that has ended needs none."""
        shutil.rmtree(self.compiled, ignore_errors=True)

    def create(self) -> None:
        """Make the folder.

        Raises:
            UserError: it can't be written.
        """
        try:
            (self.path / "weights").mkdir(parents=True, exist_ok=True)
            if not os.access(self.path, os.W_OK):
                raise PermissionError(13, "Permission denied")
        except OSError as error:
            raise UserError(
                f"{self.path} can't be written ({error.strerror}); choose another place with --home"
            ) from error

    def write_settings(self, settings: RunSettings) -> None:
        """Write run.toml; for its owner alone, where an address in it has a password."""
        import tomli_w

        addresses = (settings.storage or "", settings.tracking_uri or "")
        secret = any(shown_uri(address) != address for address in addresses)
        text = tomli_w.dumps(settings.to_tables())
        write_whole(self.settings, text, mode=0o600 if secret else 0o666)

    def write_graph(self, identity: str, text: str) -> None:
        """Keep a network by its content hash."""
        path = self._graph(identity)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text)
            self._texts[identity] = text
            while len(self._texts) > _TEXTS:
                del self._texts[next(iter(self._texts))]

    def read_graph(self, identity: str) -> str:
        """Return a kept network's JSON.

        Raises:
            MachineError: the file is gone, or is not what was kept: its content has another hash.
        """
        if identity in self._texts:
            return self._texts[identity]
        path = self._graph(identity)
        try:
            text = path.read_text(encoding="utf-8")
            if content_hash(from_json(text)) == identity:
                return text
            what = "damaged"
        except FileNotFoundError:
            what = "gone"
        except (OSError, ValueError, GraphError) as error:
            what = f"damaged ({one_line(error)})"
        raise MachineError(
            f"the network {path} of study {self.path.name!r} is {what}; put it back from a copy, or "
            "start a new study"
        )

    def add_epoch(self, report: EpochReport) -> None:
        """Keep how a job stood after an epoch; its first epoch, but of a second try, begins it anew."""
        path = self._epochs(report.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        first = report.epoch == 1 and not report.before
        with path.open("w" if first else "a", encoding="utf-8") as file:
            # A study that was interrupted keeps the same lines as one that was not.
            file.write(json.dumps(asdict(replace(report, outdated=False))) + "\n")

    def read_epochs(self, key: str) -> list[EpochReport]:
        """Return a job's epochs in order, each once; a line cut short by a power cut is left out.

        Those of a first try that stalled come before those of the second one.

        Lines that are damaged otherwise are left out, too, and a warning says how many.
        """
        path = self._epochs(key)
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        reports: dict[tuple[int, int], EpochReport] = {}
        damaged = 0
        for line in lines:
            report = _epoch_of(line)
            if report is not None:
                reports[report.before, report.epoch] = report
            elif line is not lines[-1]:
                damaged += 1
        if damaged:
            left = f"{counted(damaged, 'line')} of {len(lines)} are damaged and left out"
            _log.warning("%s: %s; its curve has gaps", path, left)
        return [reports[place] for place in sorted(reports)]

    @property
    def has_trained(self) -> bool:
        """Whether a network has begun to train in this study."""
        return any((self.path / "epochs").glob("*.jsonl"))

    def keep_weights(self, keys: Collection[str], *, besides: Collection[str] = ()) -> None:
        """Remove all weights but those of some jobs, and those of others `besides`, if they are there.

        All stay where some of the first are not there.
        """
        kept = [self.weights(key) for key in keys]
        if not all(path.exists() for path in kept):
            return
        kept += [self.weights(key) for key in besides]
        for path in self.weights("any").parent.glob("*.npz"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def delete(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _graph(self, identity: str) -> Path:
        return self.path / "graphs" / f"{identity}.json"

    def _epochs(self, key: str) -> Path:
        return self.path / "epochs" / f"{key}.jsonl"


def kept_studies(home: Path) -> list[str]:
    """Return the names of a home's folders that have settings of a study, sorted."""
    return sorted(path.parent.name for path in (home / "studies").glob("*/run.toml"))


def free_name(base: str, used: Collection[str]) -> str:
    """Return a study's name that is not in use: `base`, or with the first number that is free."""
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(used) + 2))
    return next(name for name in names if name not in used)


def check_writable(folder: Path, hint: str) -> None:
    """Refuse a folder that can't be written, or not be made; nothing is made.

    Raises:
        UserError: it is so; ends in the hint.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        why = "is no folder"
    elif not os.access(there, os.W_OK | os.X_OK) or _is_read_only(there):
        why = "can't be written"
    else:
        return
    raise UserError(f"{str(folder)!r} can't be made: {there} {why}; {hint}")


def _is_read_only(folder: Path) -> bool:
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY) if hasattr(os, "statvfs") else False


def _epoch_of(line: str) -> EpochReport | None:
    """Read a line that was kept after an epoch; None where it is none."""
    try:
        report = EpochReport(**json.loads(line))
    except (ValueError, TypeError):
        return None
    if isinstance(report.epoch, bool) or not isinstance(report.epoch, int):
        return None
    figures = (value for name, value in asdict(report).items() if name not in ("key", "outdated"))
    return report if all(value is None or _is_number(value) for value in figures) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
