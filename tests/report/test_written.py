"""The report as a user asks for it: the file, the line, and MLflow's copy."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from archsearch.archive.lock import locked
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.cli.app import app, main
from archsearch.study.catalogue import load_result
from archsearch.study.retelling import attach
from archsearch.tracking.connect import open_client, store_uri
from tests.small_study import NAME, Small


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    home = tmp_path_factory.mktemp("report") / "home"
    Small(home).run(relax="channel-doubling", name=NAME, trials=6)
    shutil.copy(empty_store, home / "mlflow.db")
    return home


def report(home: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["report", *words, "--home", str(home)])


def test_one_file_is_written_and_mlflow_has_it(study: Path) -> None:
    out = report(study, NAME, "--json")
    assert out.exit_code == 0, out.output
    path = study / "studies" / NAME / "report" / "report.html"
    assert json.loads(out.stdout)["path"] == str(path)
    text = path.read_text(encoding="utf-8")
    for part in (
        "Accuracy against FLOPs",
        "Learning curves",
        "Importance",
        "Partial dependence",
        "Freed rules",
        "Stage by stage",
        "All networks",
        "archsearch run --space vgg",
    ):
        assert part in text, part  # fmt: skip
    client = open_client(store_uri(study))
    (run,) = client.search_runs([client.get_experiment_by_name(NAME).experiment_id])
    assert run.info.status == "FINISHED"
    kept = Path(client.download_artifacts(run.info.run_id, "report.html"))
    assert kept.read_text(encoding="utf-8") == text


@pytest.mark.slow
def test_out_is_a_file_or_for_markdown_a_folder(study: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("archsearch.report.written.attach", lambda *_, **__: None)
    assert report(study, NAME, "--out", str(tmp_path / "mine.html")).exit_code == 0
    assert (tmp_path / "mine.html").is_file()
    found = report(study, NAME, "--format", "md", "--out", str(tmp_path / "md"))
    assert found.exit_code == 0
    assert (tmp_path / "md" / "report.md").is_file()


def test_markdown_takes_one_study(study: Path, capsys) -> None:
    words = ["report", NAME, "other", "--format", "md", "--home", str(study)]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--format md takes one study, not 2" in line


def test_while_a_process_drives_the_study_it_is_only_a_file(study: Path) -> None:
    with locked(StudyFolder(study, NAME).lock, study=NAME):
        lacking = attach(load_result(NAME, home=study), {"report.html": "text"}, home=study)
    assert lacking is not None
    assert "process" in lacking


def test_what_is_attached_changes_nothing_else(study: Path) -> None:
    world = Small(study)
    assert (
        attach(
            load_result(NAME, home=study),
            {"report.html": "text"},
            home=study,
            services=world.services(),
        )
        is None
    )
    tracked = world.trackers[-1].study
    assert tracked.artifacts["report.html"] == "text"
    assert tracked.status == "complete"


def test_a_report_reads_its_study_once(study: Path, tmp_path: Path, monkeypatch) -> None:
    opened: list[str] = []
    init = StudyStore.__init__

    def noted(self, storage, study_id, name) -> None:
        opened.append(name)
        init(self, storage, study_id, name)

    monkeypatch.setattr(StudyStore, "__init__", noted)
    assert report(study, NAME, "--out", str(tmp_path / "mine.html")).exit_code == 0
    assert opened == [NAME]
