"""A tracker as a third party would write one: a file of JSON lines, opened by `jsonl:PATH`."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from archsearch.errors import UserError
from archsearch.testing.memory_tracker import MemoryRun
from archsearch.testing.tracker_case import KeptStudy
from archsearch.tracking.ledger import Ledger, check_artifacts
from archsearch.tracking.records import (
    Ending,
    Epochs,
    ModelRecord,
    NetworkRecord,
    StudyRecord,
    Tracker,
    TrialRecord,
    tell_whole,
)


def read(path: Path, study: str) -> KeptStudy:
    """Add up what the lines say of a study."""
    runs: dict[str, MemoryRun] = {"": MemoryRun(study)}
    networks: dict[str, MemoryRun] = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        said: dict[str, Any] = json.loads(line)
        if said["study"] != study:
            continue
        known = networks if said.get("level") == "network" else runs
        run = known.setdefault(said["run"], MemoryRun(said["run"]))
        run.network = said.get("network", run.network)
        run.status = said.get("status", run.status)
        run.tags |= said.get("tags", {})
        files = said.get("artifacts", {})
        run.artifacts |= {path: bytes.fromhex(content) for path, content in files.items()}
        step = said.get("step")
        for name, value in said.get("metrics", {}).items():
            if step is not None:
                run.history.setdefault(name, {})[step] = value
            run.metrics[name] = value
    return KeptStudy(study=runs.pop(""), trials=runs, networks=networks)


class JsonLinesTracker:
    """Appends a line for each thing it is told that is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ledger = Ledger()
        self._lock = threading.Lock()
        self._study = ""

    def start_study(self, study: StudyRecord) -> None:
        check_artifacts(study.artifacts)
        self._ledger.start_study(study.name)
        self._study = study.name
        self._end_open()
        self._say("", status="running", tags=study.tags, artifacts=study.artifacts)

    def network(self, network: NetworkRecord) -> None:
        check_artifacts(network.artifacts)
        self._ledger.network(network.key)
        self._say(
            network.key,
            level="network",
            status=network.status,
            tags={**network.tags, "role": network.role},
            metrics=network.metrics,
            artifacts=network.artifacts,
        )

    def start_trial(self, trial: TrialRecord) -> None:
        check_artifacts(trial.artifacts)
        self._ledger.start_trial(trial.key, network=trial.network)
        before = read(self._path, self._study).trials.get(trial.key)
        if before is None or before.status == "interrupted":
            self._say(
                trial.key,
                network=trial.network,
                status="running",
                tags={**trial.tags, "role": trial.role},
                metrics=trial.metrics,
                artifacts=trial.artifacts,
            )

    def epoch(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        if self._ledger.epoch(key):
            with self._lock:
                history = read(self._path, self._study).trials[key].history
                news = {n: v for n, v in metrics.items() if step not in history.get(n, {})}
                self._write(key, step=step, metrics=news)

    def end_trial(self, key: str, ending: Ending) -> None:
        check_artifacts(ending.artifacts)
        self._ledger.end_trial(key)
        self._end(key, ending)

    def recall(self, trial: TrialRecord, ending: Ending, epochs: Epochs) -> None:
        tell_whole(self, trial, ending, epochs)

    def add_metrics(self, key: str, metrics: Mapping[str, float]) -> None:
        self._ledger.check_known(key)
        with self._lock:
            kept = read(self._path, self._study).trials[key].metrics
            self._write(key, metrics={n: v for n, v in metrics.items() if n not in kept})

    def register(self, model: ModelRecord) -> None:
        self._ledger.check_known(model.training)  # and there is no registry

    def end_study(self, ending: Ending, *, description: str = "") -> None:
        check_artifacts(ending.artifacts)
        for key in self._ledger.end_study(ending.status):
            self._say(key, status="interrupted")
        self._end_open()
        self._end("", ending)

    def flush(self, timeout_s: float | None = None) -> bool:
        return True

    def close(self, timeout_s: float = 30.0) -> str | None:
        self._ledger.close()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _end_open(self) -> None:
        kept = read(self._path, self._study)
        for level, runs in (("training", kept.trials), ("network", kept.networks)):
            for key, run in runs.items():
                if run.status == "running":
                    self._say(key, level=level, status="interrupted")

    def _end(self, key: str, ending: Ending) -> None:
        self._say(
            key,
            status=ending.status,
            metrics=ending.metrics,
            tags=ending.tags,
            artifacts=ending.artifacts,
        )

    def _say(self, key: str, *, artifacts: Mapping[str, str | bytes] = {}, **more: Any) -> None:
        files = {
            path: (content.encode() if isinstance(content, str) else content).hex()
            for path, content in artifacts.items()
        }
        with self._lock:
            self._write(key, artifacts=files, **more)

    def _write(self, key: str, **said: Any) -> None:
        line = {"study": self._study, "run": key, **{n: v for n, v in said.items() if v or v == 0}}
        with self._path.open("a") as file:
            file.write(json.dumps(line, default=dict) + "\n")


class JsonLines:
    """Opens `jsonl:PATH`."""

    def check(self, uri: str | None, *, home: Path) -> None:
        if not _path(uri).parent.is_dir():
            raise UserError(f"{uri}: there is no folder {_path(uri).parent}")

    def open(self, uri: str | None, *, home: Path, warn: Callable[[str], None]) -> Tracker:
        self.check(uri, home=home)
        return JsonLinesTracker(_path(uri))

    def delete(self, study: str, *, uri: str | None, home: Path) -> int:
        path = _path(uri)
        lines = path.read_text().splitlines(keepends=True)
        count = len(read(path, study).trials) + 1
        path.write_text("".join(line for line in lines if json.loads(line)["study"] != study))
        return count


def _path(uri: str | None) -> Path:
    return Path((uri or "").removeprefix("jsonl:"))


JSONL = JsonLines()
