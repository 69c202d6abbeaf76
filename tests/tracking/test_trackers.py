"""The contract of trackers, held to by those of this project and by a third party's."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from archsearch.testing.memory_tracker import MemoryRun, MemoryTracker
from archsearch.testing.tracker_case import KeptStudy, TrackerCase
from archsearch.tracking.connect import open_client, store_uri
from archsearch.tracking.kinds import TRACKERS, open_tracker
from archsearch.tracking.records import Tracker
from tests.third_party import install


class TestMemoryTracker(TrackerCase):
    last: MemoryTracker | None = None

    def open(self, home: Path) -> Tracker:
        self.last = MemoryTracker(self.last)
        return self.last

    def kept(self, home: Path, study: str) -> KeptStudy:
        assert self.last is not None
        assert self.last.study is not None
        return KeptStudy(
            study=self.last.study, trials=self.last.trials, networks=self.last.networks
        )


class TestMlflow(TrackerCase):
    @pytest.fixture
    def home(self, tmp_path: Path, empty_store: Path) -> Path:
        shutil.copy(empty_store, tmp_path / "mlflow.db")
        return tmp_path

    def open(self, home: Path) -> Tracker:
        return open_tracker(None, home=home, warn=print)

    def kept(self, home: Path, study: str) -> KeptStudy:
        client = open_client(store_uri(home))
        experiment = client.get_experiment_by_name(study)
        runs: dict[str, MemoryRun] = {}
        networks: dict[str, MemoryRun] = {}
        ids = {}
        for run in client.search_runs([experiment.experiment_id]):
            tags = run.data.tags
            known = MemoryRun(run.info.run_name, status=tags["status"], tags=tags)
            known.metrics = run.data.metrics
            for name in known.metrics:
                points = client.get_metric_history(run.info.run_id, name)
                steps = {p.step: p.value for p in points if p.step > 0}
                known.history |= {name: steps} if steps else {}
            folder = Path(unquote(urlsplit(run.info.artifact_uri).path))
            known.artifacts = {
                path.relative_to(folder).as_posix(): path.read_bytes()
                for path in folder.rglob("*")
                if path.is_file()
            }
            known.network = tags.get("mlflow.parentRunId", "")
            kind = networks if tags["level"] == "network" else runs
            key = tags["design"] if kind is networks else tags.get("key", "")
            assert key not in kind, "two runs for one key"
            kind[key] = known
            ids[run.info.run_id] = key if kind is networks else ""
        for known in runs.values():
            known.network = ids.get(known.network, "")
        return KeptStudy(study=runs.pop(""), trials=runs, networks=networks)


class TestThirdPartys(TrackerCase):
    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        points = {TRACKERS: {"jsonl": "tests.tracking.jsonl_tracker:JSONL"}}
        install(tmp_path / "jsonl", monkeypatch, points)
        return tmp_path

    def open(self, home: Path) -> Tracker:
        return open_tracker(f"jsonl:{home / 'runs.jsonl'}", home=home, warn=print)

    def kept(self, home: Path, study: str) -> KeptStudy:
        from tests.tracking.jsonl_tracker import read

        return read(home / "runs.jsonl", study)
