import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from archsearch.tracking.connect import open_client, store_uri
from archsearch.tracking.records import DatasetRecord, NetworkRecord, StudyRecord, TrialRecord

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers beside these tests

NASTY = 'it\'s a "study"\nof `a/b`/.. % ü 🙂'


def pytest_configure(config: pytest.Config) -> None:
    # MLflow's own models, on SQLAlchemy 2.1.
    config.addinivalue_line(
        "filterwarnings", "ignore:The ``noload`` loader strategy:DeprecationWarning"
    )


@pytest.fixture
def home(tmp_path: Path, empty_store: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


class Kept:
    """What an MLflow store holds of a study."""

    def __init__(self, home: Path, study: str, uri: str | None = None) -> None:
        self.client = open_client(store_uri(home, uri))
        self.experiment = self.client.get_experiment_by_name(study)
        assert self.experiment is not None
        runs = self.client.search_runs([self.experiment.experiment_id])
        parents = [run for run in runs if run.data.tags["role"] == "study"]
        assert len(parents) == 1
        self.parent = parents[0]
        levels = {run.info.run_id: run.data.tags["level"] for run in runs}
        for run in runs:
            within = levels.get(run.data.tags.get("mlflow.parentRunId", ""), "")
            level = run.data.tags["level"]
            assert within in {"study": {""}, "network": {"study"}}.get(level, {"study", "network"})
        self.networks: dict[str, Any] = self._by("design", runs, "network")
        self.trials: dict[str, Any] = self._by("key", runs, "training")

    def _by(self, tag: str, runs: Any, level: str) -> dict[str, Any]:
        mine = [run for run in runs if run.data.tags["level"] == level]
        found = {run.data.tags[tag]: run for run in mine}
        assert len(found) == len(mine), "two runs for one key"
        return found

    def history(self, key: str, metric: str) -> list[tuple[int, float]]:
        points = self.client.get_metric_history(self.trials[key].info.run_id, metric)
        return sorted((point.step, point.value) for point in points)

    def artifact(self, key: str, path: str) -> bytes:
        run = self.trials[key]
        return Path(self.client.download_artifacts(run.info.run_id, path)).read_bytes()


@pytest.fixture
def kept() -> type[Kept]:
    return Kept


@pytest.fixture
def study() -> StudyRecord:
    return StudyRecord(
        name=NASTY,
        space="resnext",
        budget="20M",
        dataset=DatasetRecord(
            name="digits",
            source="digits",
            digest="ab" * 32,
            input=(32, 32, 3),
            classes=10,
            splits={"train": 1149},
        ),
        settings={"epochs": 3, "seed": 0},
        tags={"asked": "by a test"},
        description="**space** resnext",
        artifacts={"run.toml": "space = 'resnext'\n"},
    )


@pytest.fixture
def network() -> NetworkRecord:
    return NetworkRecord(
        key="trial-0000",
        label="resnext 3-4-6-3 G8 · 19.8M",
        role="candidate",
        knobs={"depth_1": 3, "cardinality": 8},
        tags={"graph": "00ff"},
        artifacts={"graph.json": "{}"},
    )


@pytest.fixture
def trial() -> TrialRecord:
    return TrialRecord(
        key="trial-0000",
        label="resnext 3-4-6-3 G8 · 19.8M",
        knobs={"depth_1": 3, "cardinality": 8},
        metrics={"flops": 19_800_001, "params": 161_234, "fill": 0.99},
        tags={"graph_hash": "00ff"},
        artifacts={"graph.json": "{}", "tables/layers.txt": "conv1"},
    )
