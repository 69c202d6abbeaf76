"""What a tracker could not take is kept, and told later: by `resume`, and by `track`."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from archsearch.archive.study_folder import StudyFolder
from archsearch.cli.app import app
from archsearch.errors import ArchsearchError, UserError
from archsearch.report.results import ending
from archsearch.report.tables import show
from archsearch.study import catalogue, retelling, tracked
from archsearch.testing.memory_tracker import MemoryTracker
from archsearch.tracking import mlflow_tracker
from archsearch.tracking.mlflow_tracker import MlflowTracker
from tests.bench import table
from tests.small_study import NAME, Small

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("studies_in_memory")]


class Deaf(MemoryTracker):
    """Keeps nothing that counts: its store is out of reach."""

    def close(self, timeout_s: float = 30.0) -> str | None:
        super().close(timeout_s)
        return "MLflow store http://server lacks 7 updates of this study: connection refused"


def deaf(home: Path) -> Small:
    return Small(home, tracker=lambda settings, warn: Deaf())


def test_the_last_line_says_what_writes_the_rest(tmp_path: Path, capsys):
    world = deaf(tmp_path)
    result = world.run()
    again = f"archsearch track {NAME} --home {tmp_path}"
    assert world.said[-1].endswith(f"connection refused; `{again}` writes what is missing")
    assert result.untold
    show(*ending(result, home=tmp_path))
    last = " ".join(capsys.readouterr().out.split("Next:")[1].split()[-20:])
    assert last.endswith(f"MLflow lacks a part of this study; `{again}` writes it")


@pytest.mark.parametrize("how", ["resume", "track"])
def test_what_is_told_later_is_all_there_is(tmp_path: Path, how: str):
    asked = {"relax": "channel-doubling", "name": NAME}
    calm = Small(tmp_path / "calm")
    calm.run(**asked)
    world = deaf(tmp_path / "home")
    result = world.run(**asked)
    again = Small(world.home)
    if how == "resume":
        assert table(again.resume()) == table(result)
        assert again.engines == []  # nothing trains for it
    else:
        retelling.track(NAME, home=world.home, services=again.services())
    (told,), (wanted,) = again.trackers, calm.trackers
    assert set(told.trials) == set(wanted.trials)
    for key, run in told.trials.items():
        other = wanted.trials[key]
        assert (run.status, run.tags) == (other.status, other.tags)
        assert (run.metrics, run.history) == (other.metrics, other.history)
        assert run.artifacts == other.artifacts
    assert told.study.status == "complete"
    assert told.study_record.dataset == wanted.study_record.dataset
    assert told.description.split("|")[1:] == wanted.description.split("|")[1:]
    assert not catalogue.load_result(NAME, home=world.home).untold
    # Once is enough: a study that is told has nobody told again.
    after = Small(world.home)
    after.resume()
    assert after.trackers == []


def test_a_driver_killed_before_its_tracker_was_through_is_found_out(tmp_path: Path, monkeypatch):
    class Killed(BaseException):
        """As SIGKILL: nothing is done after it."""

    class Tracker(MemoryTracker):
        def close(self, timeout_s: float = 30.0) -> str | None:
            raise Killed

    with pytest.raises(Killed):
        Small(tmp_path, tracker=lambda settings, warn: Tracker()).run()
    again = Small(tmp_path)
    assert again.resume().status == "complete"
    assert again.trackers[0].study.status == "complete"


def test_whoever_goes_on_reads_no_epochs_that_its_tracker_has(tmp_path: Path, monkeypatch):
    class Killed(BaseException):
        """As SIGKILL: nothing is done after it."""

    class Tracker(MemoryTracker):
        def close(self, timeout_s: float = 30.0) -> str | None:
            raise Killed

    read: list[str] = []
    epochs = StudyFolder.read_epochs
    monkeypatch.setattr(
        StudyFolder, "read_epochs", lambda self, key: read.append(key) or epochs(self, key)
    )
    before = Tracker()
    with pytest.raises(Killed):
        Small(tmp_path, tracker=lambda settings, warn: before).run()
    trained = set(before.trials)
    whole = Small(tmp_path, tracker=lambda settings, warn: MemoryTracker(before))
    del read[:]
    assert whole.resume().status == "complete"
    assert read == []
    retelling.track(NAME, home=tmp_path, services=Small(tmp_path).services())  # which has nothing
    assert set(read) == trained


def test_a_tracker_that_stays_deaf_is_a_failure_of_track(tmp_path: Path):
    deaf(tmp_path).run()
    with pytest.raises(ArchsearchError, match="connection refused"):
        retelling.track(NAME, home=tmp_path, services=deaf(tmp_path).services())
    with pytest.raises(UserError, match="no study 'nobody'"):
        retelling.track("nobody", home=tmp_path)


def counts(home: Path) -> tuple[list[tuple[str, int]], int]:
    """Count the runs of a store by state, and the last figures in it."""
    with sqlite3.connect(home / "mlflow.db") as store:
        states = store.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall()
        ((figures,),) = store.execute("SELECT count(*) FROM latest_metrics").fetchall()
    return states, figures


def test_mlflow_out_of_reach_for_a_whole_run(tmp_path: Path, empty_store: Path, monkeypatch):
    def real(settings, warn):
        return MlflowTracker(Path(settings.home), warn=warn)

    home = tmp_path / "home"
    for place in (tmp_path / "calm", home):
        place.mkdir()
        shutil.copy(empty_store, place / "mlflow.db")
    Small(tmp_path / "calm", tracker=real).run()

    def refuse(uri: str, home: Path):
        raise ConnectionRefusedError("Connection refused")

    monkeypatch.setattr(mlflow_tracker, "MlflowStore", refuse)
    monkeypatch.setattr(tracked, "_PATIENCE_S", 0.1)
    lost = Small(home, tracker=real).run()
    assert lost.untold
    monkeypatch.undo()
    told = CliRunner().invoke(app, ["track", NAME, "--home", str(home)])
    assert (told.exit_code, told.output) == (0, f"MLflow has all of {NAME}\n")
    assert counts(home) == counts(tmp_path / "calm")
    states, _ = counts(home)
    assert [state for state, _ in states] == ["FINISHED"]
    # Exactly once, however often it is asked for.
    again = CliRunner().invoke(app, ["track", NAME, "--home", str(home)])
    assert again.exit_code == 0
    assert counts(home) == counts(tmp_path / "calm")


@pytest.mark.slow
def test_five_short_studies_at_once_in_a_new_home_all_arrive(tmp_path: Path):
    script = Path(__file__).with_name("toy_tracked.py")
    drivers = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "home"), f"s{number}"],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        )
        for number in range(5)
    ]  # fmt: skip
    said = [driver.communicate()[0] for driver in drivers]
    for number, text in enumerate(said):
        if text.startswith("untold"):  # a very slow machine: then it is written now
            retelling.track(f"s{number}", home=tmp_path / "home")
    states, _ = counts(tmp_path / "home")
    assert states == [("FINISHED", 5 * 9)]
