"""Studies whose storage or folder was emptied or overwritten: a line each, and no other is hidden."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from archsearch.archive.study_folder import StudyFolder
from archsearch.cli.app import app, main
from archsearch.errors import ArchsearchError, DamagedError, MachineError, UserError
from archsearch.study import catalogue, driver
from archsearch.study.dry_run import plan
from archsearch.testing.fake_engine import FakeEngine
from tests.bench import table
from tests.small_study import NAME, TRAIN, Small, settings_of


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A home with two studies."""
    home = tmp_path_factory.mktemp("made")
    Small(home).run(name="good")
    Small(home).run(name="bad")
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "home")
    return tmp_path / "home"


def listed(home: Path) -> dict[str, str]:
    return {summary.name: summary.status for summary in catalogue.list_studies(home=home)}


def change(home: Path, query: str, *values: object) -> None:
    with sqlite3.connect(home / "optuna.db") as database:
        assert database.execute(query, values).rowcount > 0


def spoil_attribute(home: Path) -> None:
    query = (
        "UPDATE study_user_attributes SET value_json = ? WHERE key = 'archsearch' AND study_id = 2"
    )
    change(home, query, json.dumps({"format": 2, "settings": {"space": 7}}))


def spoil_json(home: Path) -> None:
    query = (
        "UPDATE study_user_attributes SET value_json = ? WHERE key = 'archsearch' AND study_id = 2"
    )
    change(home, query, "{not json")


def spoil_recipe(home: Path) -> None:
    query = """UPDATE study_user_attributes SET value_json = json_remove(value_json, '$.recipe.batch')
        WHERE key = 'archsearch' AND study_id = 2"""
    change(home, query)


def spoil_final(home: Path) -> None:
    query = (
        "UPDATE study_user_attributes SET value_json = ? WHERE key LIKE 'final:%' AND study_id = 2"
    )
    change(home, query, "[1]")


def spoil_trial(home: Path) -> None:
    query = """DELETE FROM trial_user_attributes WHERE key = 'label' AND trial_id IN
        (SELECT trial_id FROM trials WHERE study_id = 2)"""
    change(home, query)


SPOIL = {
    "attribute": (spoil_attribute, "its attributes in the storage"),
    "json": (spoil_json, "its attributes in the storage"),
    "recipe": (spoil_recipe, "its attributes in the storage"),
    "final": (spoil_final, "its attributes in the storage"),
    "trial": (spoil_trial, "its trial 0 in the storage"),
}


@pytest.mark.parametrize("kind", SPOIL)
def test_a_damaged_study_is_named_and_hides_no_other(home: Path, kind: str, capsys):
    spoil, part = SPOIL[kind]
    spoil(home)
    assert listed(home) == {"good": "complete", "bad": "damaged"}
    for words in (["leaderboard", "bad"], ["resume", "bad"], ["export", "bad"], ["report", "bad"]):
        assert main([*words, "--home", str(home)]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"archsearch: study 'bad' is damaged: {part}")
        assert "put the storage back from a copy" in line
        assert "fault of archsearch" not in line
    assert catalogue.load_result("good", home=home).status == "complete"
    assert main(["studies", "--home", str(home)]) == 0
    # The way out works.
    assert main(["delete", "bad", "--yes", "--keep-runs", "--home", str(home)]) == 0
    assert listed(home) == {"good": "complete"}
    assert not (home / "studies" / "bad").exists()


@pytest.mark.parametrize("how", ["empty file", "no file", "new database"])
def test_an_emptied_storage_is_not_trained_over(home: Path, how: str):
    before = sorted((home / "studies").rglob("*"))
    (home / "optuna.db").unlink()
    if how == "empty file":
        (home / "optuna.db").touch()
    if how == "new database":
        Small(home).run(name="other", trials=1)
    world = Small(home)
    expected = DamagedError if how != "no file" else (DamagedError, UserError)
    for read in (
        lambda: world.resume("bad"),
        lambda: catalogue.load_result("bad", home=home),
        lambda: world.run(name="bad"),
    ):
        with pytest.raises(expected, match=r"emptied or replaced|gone"):
            read()
    assert world.engines == [] or all(not engine.submitted for engine in world.engines)
    assert set(before) <= set((home / "studies").rglob("*"))
    assert listed(home)["bad"] in ("damaged", "unreachable")


def test_a_storage_that_is_garbage_hides_no_study_of_another(tmp_path: Path):
    other = f"sqlite:///{tmp_path}/other.db"
    home = tmp_path / "home"
    Small(home).run(name="good", storage=other)
    Small(home).run(name="bad")
    (home / "optuna.db").write_bytes(b"garbage " * 1000)
    assert listed(home) == {"good": "complete", "bad": "unreachable"}


def test_settings_that_are_garbage_hide_no_study(home: Path, capsys):
    (home / "studies" / "bad" / "run.toml").write_text("= [")
    found = listed(home)
    assert found["good"] == "complete"
    assert "bad" in found
    assert main(["studies", "--home", str(home)]) == 0
    assert main(["resume", "bad", "--home", str(home)]) == 2
    assert "run.toml" in capsys.readouterr().err


DAMAGED_LINES = [
    b'{"key": "trial-0000", "epoch": null}',
    b"[1, 2]",
    b"\xff\xfe\x00",
    b'{"key": "trial-0000", "epoch": 1, "loss": "x", "accuracy": 0, "images_per_s": 1, '
    b'"learning_rate": 1, "wall_s": 1}',
    b'{"key": "trial-0000", "epoch": true, "loss": 1, "accuracy": 0, "images_per_s": 1, '
    b'"learning_rate": 1, "wall_s": 1}',
]


@pytest.mark.parametrize("line", DAMAGED_LINES)
def test_damaged_epochs_cost_their_lines_alone(home: Path, line: bytes, caplog):
    folder = StudyFolder(home, "bad")
    path = next((folder.path / "epochs").glob("*.jsonl"))
    whole = folder.read_epochs(path.stem)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[1:]]) + b"\n")
    assert folder.read_epochs(path.stem) == whole
    assert f"{path}: 1 line of {len(lines) + 1} are damaged and left out" in caplog.text
    out = CliRunner().invoke(app, ["report", "bad", "--format", "md", "--home", str(home)])
    assert out.exit_code == 0, out.output


@pytest.mark.parametrize("how", ["gone", "cut", "garbage", "another"])
def test_a_damaged_network_stops_the_study_and_is_no_result_of_its_own(tmp_path: Path, how: str):
    calm = Small(tmp_path / "calm").run()
    home = tmp_path / "home"

    class Stops(FakeEngine):
        def events(self, timeout_s):
            if len(self.submitted) > 3:
                raise MachineError("worker processes do not start")
            return super().events(timeout_s)

    with pytest.raises(MachineError):
        Small(home, engine=lambda n, folder: Stops(n, train_images=TRAIN)).run()
    graphs = home / "studies" / NAME / "graphs"
    kept = tmp_path / "kept"
    shutil.copytree(graphs, kept)
    texts = [path.read_text() for path in sorted(graphs.iterdir())]
    for path in graphs.iterdir():
        if how == "gone":
            path.unlink()
        elif how == "another":
            path.write_text(next(text for text in texts if text != path.read_text()))
        else:
            path.write_text(texts[0][:100] if how == "cut" else "\0\1")
    with pytest.raises(MachineError, match=r"the network .*\.json of study .* is (gone|damaged)"):
        Small(home).resume()
    shutil.rmtree(graphs)
    shutil.copytree(kept, graphs)
    assert table(Small(home).resume()) == table(calm)


# --- wrong starts, and the plan that is refused where the run would be ------------------------------------


def test_a_start_whose_tracker_fails_leaves_no_study(tmp_path: Path):
    def refuse(settings, warn):
        raise UserError("home can't be written")

    with pytest.raises(UserError, match="home can't be written"):
        Small(tmp_path, tracker=refuse).run()
    assert catalogue.list_studies(home=tmp_path) == []
    assert list((tmp_path / "studies").iterdir()) == []
    assert Small(tmp_path).run().study == NAME


def test_a_start_that_fails_by_a_fault_leaves_no_study(tmp_path: Path):
    def fail(workers, folder):
        raise RuntimeError("no such thing")

    with pytest.raises(RuntimeError):
        Small(tmp_path, engine=fail).run()
    assert catalogue.list_studies(home=tmp_path) == []
    assert Small(tmp_path).run().study == NAME


def test_a_study_that_has_trained_is_never_cleared_away(tmp_path: Path):
    class Fails(FakeEngine):
        def events(self, timeout_s):
            if len(self.submitted) > 2:
                raise RuntimeError("a fault")
            return super().events(timeout_s)

    with pytest.raises(RuntimeError):
        Small(tmp_path, engine=lambda n, folder: Fails(n, train_images=TRAIN)).run()
    assert listed(tmp_path) == {NAME: "failed"}


def refusals(tmp_path: Path) -> dict[str, dict[str, object]]:
    (tmp_path / "file").write_text("")
    (tmp_path / "garbage.db").write_bytes(b"garbage " * 1000)
    there = str(tmp_path / "there")
    return {
        "a ? in the home": {"home": str(tmp_path / "h?x")},
        "a % in the home": {"home": str(tmp_path / "50%")},
        "a file as home": {"home": str(tmp_path / "file")},
        "a home in a file": {"home": str(tmp_path / "file" / "home")},
        "a folder nobody may write": {"home": "/proc/home"},
        "a storage that is no database": {
            "home": there,
            "storage": f"sqlite:///{tmp_path}/garbage.db",
        },
        "a storage in a file": {"home": there, "storage": f"sqlite:///{tmp_path}/file/a.db"},
        "a wrong tracker": {"home": there, "tracking_uri": "foo"},
        "a name that is taken": {"home": str(tmp_path / "taken"), "name": "mine"},
        "a name with other settings": {
            "home": str(tmp_path / "taken"),
            "name": "mine",
            "trials": 9,
        },
    }


@pytest.mark.parametrize("what", [
    "a ? in the home", "a % in the home", "a file as home", "a home in a file",
    "a folder nobody may write", "a storage that is no database", "a storage in a file",
    "a wrong tracker", "a name that is taken", "a name with other settings",
])  # fmt: skip
def test_a_dry_run_refuses_what_a_run_refuses(tmp_path: Path, what: str):
    asked = refusals(tmp_path)[what]
    if "name" in asked:
        Small(tmp_path / "taken").run(name="mine")
    before = sorted(tmp_path.rglob("*"))
    settings = settings_of(Path(str(asked.pop("home"))), **asked)
    world = Small(Path(settings.home))
    with pytest.raises(UserError) as dry:
        plan(settings, services=world.services())
    assert "\n" not in str(dry.value)
    assert sorted(tmp_path.rglob("*")) == before  # it makes nothing
    with pytest.raises(ArchsearchError):
        driver.run(settings, services=world.services())
    assert world.engines == []


def test_a_dry_run_before_a_first_run_makes_no_home(tmp_path: Path):
    settings = settings_of(tmp_path / "home")
    plan(settings, services=Small(tmp_path / "home").services())
    # The prepared images alone: the run will want them.
    assert {path.name for path in (tmp_path / "home").iterdir()} <= {"data"}
