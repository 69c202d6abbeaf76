"""A team: several hosts, each with its home, over one PostgreSQL and one MLflow server."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.archive import databases
from archsearch.archive.databases import opened, study_names
from archsearch.archive.leaderboard import read_result
from archsearch.archive.store import StudyStore
from archsearch.errors import UserError
from archsearch.tracking.server import start_ui
from tests.bench import table
from tests.postgres import NEEDED, Server, server
from tests.small_study import Small
from tests.study import toy_tracked

__all__ = ["server"]

HOSTS = ("ada", "bob")


def started(home: Path, *words: str) -> subprocess.Popen[str]:
    script = Path(__file__).with_name("toy_tracked.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(home), *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip


@NEEDED
def test_hosts_share_a_database_and_a_server_and_nothing_else(
    tmp_path: Path, server: Server, empty_store: Path, capsys: pytest.CaptureFixture[str]
):
    from mlflow import MlflowClient

    (tmp_path / "server").mkdir()
    shutil.copy(empty_store, tmp_path / "server" / "mlflow.db")
    calm = Small(tmp_path / "calm").run(name="s", trials=2, finalists=1)
    with start_ui(tmp_path / "server", port=0) as ui:
        # Two drivers at a time; what one of them needs, this process has imported.
        with started(tmp_path / HOSTS[0], f"s-{HOSTS[0]}", ui.url, server.url) as driver:
            toy_tracked.main(str(tmp_path / HOSTS[1]), f"s-{HOSTS[1]}", ui.url, server.url)
            said, _ = driver.communicate()
        assert driver.returncode == 0, said
        for told in (said, capsys.readouterr().out):
            assert told.startswith("told"), told
        client = MlflowClient(ui.url)
        runs = {
            experiment.name: len(client.search_runs([experiment.experiment_id]))
            for experiment in client.search_experiments()
            if experiment.name != "Default"
        }
    assert len(runs) == len(HOSTS), runs
    assert len(set(runs.values())) == 1
    with opened(server.url) as storage:
        assert sorted(study_names(storage)) == [f"s-{host}" for host in HOSTS]
        for host in HOSTS:
            found = read_result(StudyStore.open(storage, f"s-{host}"))
            assert table(found) == table(calm)
    # A name is one study's in all of it, and nobody is sent to a home that has nothing of it.
    with pytest.raises(UserError, match=r"'s-ada' already in this storage, from another home"):
        Small(tmp_path / "bob").run(name="s-ada", storage=server.url)
    for host in HOSTS:
        assert not (tmp_path / host / "optuna.db").exists()
        assert not (tmp_path / host / "mlflow.db").exists()


def test_tables_that_another_host_makes_at_the_same_moment_are_waited_for(monkeypatch):
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError

    made, begin = [], RDBStorage.__init__

    def late(self, url, **options):
        made.append(url)
        if len(made) < 3:
            raise IntegrityError("CREATE TABLE studies", {}, Exception("duplicate key value"))
        begin(self, "sqlite://")

    monkeypatch.setattr(RDBStorage, "__init__", late)
    monkeypatch.setattr(databases, "_PAUSES_S", (0.0, 0.0))
    with opened("postgresql://me@host/x") as storage:
        assert study_names(storage) == []
    assert len(made) == 3
    made[:] = []
    monkeypatch.setattr(databases, "_PAUSES_S", (0.0,))
    with pytest.raises(UserError, match="duplicate key value"), opened("postgresql://me@host/x"):
        pass
