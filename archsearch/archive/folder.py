"""What a study keeps as files: settings, graphs, epochs, weights."""

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from archsearch.checks import check_study_name
from archsearch.errors import UserError
from archsearch.settings import RunSettings
from archsearch.training.job import EpochReport
from archsearch.uris import shown_uri


class StudyFolder:
    """`<home>/studies/<study>/`; paths are made from names that have been checked."""

    def __init__(self, home: Path, study: str) -> None:
        check_study_name(study)
        self.home = home
        self.path = home / "studies" / study

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
        """Where a job's final weights go."""
        return self.path / "weights" / f"{key}.npz"

    def checkpoint(self, key: str) -> Path:
        """Where a job leaves what it needs to go on after an interruption."""
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
        _write(self.settings, text, mode=0o600 if secret else 0o666)

    def write_graph(self, identity: str, text: str) -> None:
        """Keep a network by its content hash."""
        path = self._graph(identity)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, text)

    def read_graph(self, identity: str) -> str:
        """Return a kept network's JSON."""
        return self._graph(identity).read_text(encoding="utf-8")

    def add_epoch(self, report: EpochReport) -> None:
        """Keep how a job stood after an epoch; its first epoch begins it anew."""
        path = self._epochs(report.key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if report.epoch == 1 else "a", encoding="utf-8") as file:
            # A study that was interrupted keeps the same lines as one that was not.
            file.write(json.dumps(asdict(replace(report, outdated=False))) + "\n")

    def read_epochs(self, key: str) -> list[EpochReport]:
        """Return a job's epochs in order, each once; a line cut short by a power cut is left out."""
        try:
            lines = self._epochs(key).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        reports: dict[int, EpochReport] = {}
        for line in lines:
            try:
                report = EpochReport(**json.loads(line))
            except (ValueError, TypeError):
                continue
            reports[report.epoch] = report
        return [reports[epoch] for epoch in sorted(reports)]

    def keep_weights(self, key: str) -> Path | None:
        """Remove all weights but one job's; None, and nothing is removed, if that one is not there."""
        kept = self.weights(key)
        if not kept.exists():
            return None
        for path in kept.parent.glob("*.npz"):
            if path != kept:
                path.unlink(missing_ok=True)
        return kept

    def delete(self) -> None:
        """Remove the folder and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _graph(self, identity: str) -> Path:
        return self.path / "graphs" / f"{identity}.json"

    def _epochs(self, key: str) -> Path:
        return self.path / "epochs" / f"{key}.jsonl"


def _write(path: Path, text: str, *, mode: int = 0o666) -> None:
    """Write a file that is there whole or not at all; `mode` less what the process masks."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed: it keeps its mode
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
