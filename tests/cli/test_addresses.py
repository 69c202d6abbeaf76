"""Where runs go, and passwords in addresses: a real run, in a process with a user's variables."""

import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.lock import locked
from archsearch.archive.study_folder import StudyFolder
from archsearch.cli.app import main
from archsearch.gathering import gather, unheeded, with_environment
from archsearch.settings import RunSettings
from archsearch.study import driver
from archsearch.study.ports import real_services
from tests.images import write_three
from tests.real_runs import BACKEND, BRIEF
from tests.world import World

RUN = ("run", "--space", "vgg", "--flops", "5M", "--trials", "1", "--epochs", "1", "--seeds", "1",
       "--baselines", "none", "--name", "s", "--home", "home [1]")  # fmt: skip
CLI = f"""
{BRIEF}
driver.real_services = lambda settings: replace(ports.real_services(settings), gauge=None)
status = main()
print("imported:", [m for m in ("tensorflow", "keras", "torch", "jax") if m in sys.modules])
sys.exit(status)
"""


def archsearch(folder, *arguments, **variables):
    (folder / "temporary").mkdir(exist_ok=True)
    (folder / "user").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(folder / "temporary"), **variables}
    return subprocess.run(
        [sys.executable, "-c", CLI, *arguments], cwd=folder, capture_output=True,
        text=True, env={**environment, "HOME": str(folder / "user")}, check=False,
    )  # fmt: skip


def files_with(text: str, folder: Path) -> list[str]:
    return sorted(
        path.name for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    )  # fmt: skip


@pytest.mark.keras
def test_a_run_to_a_server_that_is_down(tmp_path):
    write_three(tmp_path / "three.npz", side=32)
    done = archsearch(
        tmp_path,
        *RUN,
        "--data",
        "three.npz",
        "--backend",
        BACKEND,
        "--workers",
        "1",
        "--no-export",
        MLFLOW_TRACKING_URI="http://me:se@cret@127.0.0.1:9/?token=hid-den",
        MLFLOW_EXPERIMENT_NAME="mine",
    )
    assert done.returncode == 0, done.stderr
    assert "runs       MLflow at http://me:***@127.0.0.1:9/?token=***" in done.stderr
    assert "MLFLOW_EXPERIMENT_NAME is not heeded" in done.stderr
    assert "connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    # Workers train: the driver stays small, and its start quick.
    assert done.stdout.endswith("imported: []\n")
    for secret in ("se@cret", "hid-den"):
        assert secret not in done.stdout + done.stderr
        assert files_with(secret, tmp_path) == ["run.toml"]
    # A home whose name is a pattern: all is there all the same.
    study = tmp_path / "home [1]" / "studies" / "s"
    assert list((study / "graphs").iterdir())
    assert (study / "run.toml").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "home [1]" / "mlflow.db").exists()
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "user" / ".keras").exists()


def test_runs_go_where_mlflows_variable_says(tmp_path, empty_store, monkeypatch):
    def services(settings):
        return replace(World().services(), tracker=real_services(settings).tracker)

    shutil.copy(empty_store, tmp_path / "runs.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///runs.db")
    monkeypatch.setattr(driver, "real_services", services)
    assert main([*RUN, "--no-export"]) == 0
    with sqlite3.connect(tmp_path / "runs.db") as database:
        names = [name for (name,) in database.execute("select name from experiments")]
    assert "s" in names
    assert not (tmp_path / "home [1]" / "mlflow.db").exists()


def test_an_address_that_is_none_is_refused_before_anything_is_kept(tmp_path):
    done = archsearch(tmp_path, *RUN, MLFLOW_TRACKING_URI="foo://me:se@cret@host")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nothing opens foo://me:***@host" in done.stderr
    assert "give another with --tracking-uri or MLFLOW_TRACKING_URI" in done.stderr
    assert not (tmp_path / "home [1]").exists()


def test_what_wins():
    def address(flags=None, **environ):
        given = {"space": "vgg", "flops": "5M", **(flags or {})}
        return gather(given, environ=environ).tracking_uri

    assert address() is None
    assert address(MLFLOW_TRACKING_URI="") is None
    assert address(MLFLOW_TRACKING_URI="http://a") == "http://a"
    both = {"MLFLOW_TRACKING_URI": "http://a", "ARCHSEARCH_TRACKING_URI": "http://b"}
    assert address(**both) == "http://b"
    assert address({"tracking_uri": "http://c"}, **both) == "http://c"
    settings = RunSettings(space="vgg", flops="5M")
    assert with_environment(settings, both).tracking_uri == "http://a"
    own = RunSettings(space="vgg", flops="5M", tracking_uri="http://d")
    assert with_environment(own, both) == own


def test_variables_that_do_not_count_are_named():
    assert unheeded({"MLFLOW_TRACKING_TOKEN": "x", "MLFLOW_EXPERIMENT_ID": ""}) == ()
    (said,) = unheeded({"OPTUNA_STORAGE": "sqlite:///a.db"})
    assert said.startswith("OPTUNA_STORAGE is not heeded: ")


@pytest.mark.parametrize("command", [("leaderboard", "s"), ("delete", "s", "--yes")])
def test_other_commands_show_no_password(command, tmp_path, capsys):
    storage = "postgresql+nodriver://me:se@cret@host/db?password=hid-den"
    settings = RunSettings(space="vgg", flops="5M", name="s", storage=storage)
    folder = StudyFolder(tmp_path, "s")
    folder.create()
    folder.write_settings(settings)
    main([*command, "--home", str(tmp_path)])
    said = "".join(capsys.readouterr())
    assert "postgresql+nodriver://me:***@host/db?password=***" in said
    assert "cret" not in said
    assert "hid-den" not in said


def test_an_address_may_name_a_variable(tmp_path, monkeypatch, capsys):
    settings = RunSettings(
        space="vgg", flops="5M", name="s", storage="postgresql+nodriver://me:${DB_WORD}@host/db"
    )
    folder = StudyFolder(tmp_path, "s")
    folder.create()
    folder.write_settings(settings)
    assert "${DB_WORD}" in folder.settings.read_text()
    assert main(["leaderboard", "s", "--home", str(tmp_path)]) == 2
    assert "there is no environment variable DB_WORD" in capsys.readouterr().err
    monkeypatch.setenv("DB_WORD", "se@cret")
    assert main(["leaderboard", "s", "--home", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "does not open" in said
    assert "cret" not in said


def test_a_lock_names_the_process_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["archsearch", "run", "--storage", "mysql://me:se@cret@host/db",
                      "--tracking-uri=http://me:hid-den@host"]
    )  # fmt: skip
    path = tmp_path / "driver.lock"
    with locked(path, study="s"):
        text = path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    assert "mysql://me:***@host/db --tracking-uri=http://me:***@host" in text
    assert "cret" not in text
    assert "hid-den" not in text
