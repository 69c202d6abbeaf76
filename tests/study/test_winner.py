import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.formats import format
from archsearch.exchange.model_process import ModelProcess
from archsearch.report.results import ending
from archsearch.settings import RunSettings
from archsearch.study import catalogue as studies
from archsearch.study import winner as exporting
from archsearch.study.events import Notice
from archsearch.study.winner import export_study
from archsearch.testing.fake_gauge import FakeGauge
from tests.world import World

pytestmark = pytest.mark.usefixtures("studies_in_memory")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[exporting.ExportRequest]:
    requests = []

    class Process(ModelProcess):
        def export(self, request):
            requests.append(request)
            return FakeGauge(lambda graph: 1.0).export(request)

    monkeypatch.setattr(exporting, "ModelProcess", Process)
    return requests


@pytest.fixture
def study(tmp_path: Path) -> str:
    settings = RunSettings(
        space="vgg", flops="20M", trials=3, epochs=1, workers=1, seeds=2, home=str(tmp_path)
    )
    result = World().run(settings)
    for key in ("final-0000-seed1", result.best_key):
        path = StudyFolder(tmp_path, result.study).weights(key)
        path.write_text("weights")
    return result.study


def test_exports_the_winners_best_training(study: str, asked, tmp_path: Path):
    result = studies.load_result(study, home=tmp_path)
    [made] = export_study(study, home=tmp_path)
    path = made.path
    folder = StudyFolder(tmp_path, study)
    assert path == folder.exports / "saved_model"
    assert asked[0].weights == str(folder.weights(result.best_key))
    assert asked[0].graph == folder.read_graph(result.winner.graph)
    assert asked[0].overwrite
    assert (Path(asked[0].dataset) / "dataset.json").is_file()
    assert studies.load_result(study, home=tmp_path).exports == {"saved_model": str(path)}


def test_a_place_of_the_users_own_is_not_overwritten_unasked(study: str, asked, tmp_path: Path):
    export_study(study, home=tmp_path, forms=["keras"], out=tmp_path / "x.keras")
    assert (asked[0].format, asked[0].overwrite) == ("keras", False)
    assert studies.load_result(study, home=tmp_path).exports == {}


def test_several_formats_go_into_one_folder_and_are_all_checked_first(study: str, asked, tmp_path):
    told = []
    out = tmp_path / "models"
    made = export_study(
        study, home=tmp_path, forms=["keras", "saved_model"], out=out, on_exported=told.append
    )
    assert [each.path for each in made] == [out / "model.keras", out / "saved_model"]
    assert told == list(made)
    assert studies.load_result(study, home=tmp_path).exports == {}
    export_study(study, home=tmp_path, forms=["keras", "saved_model"])
    assert list(studies.load_result(study, home=tmp_path).exports) == ["keras", "saved_model"]
    (out / "saved_model").mkdir()
    (out / "saved_model" / "mine.txt").write_text("mine")
    asked.clear()
    with pytest.raises(UserError, match="saved_model exists; give another --out"):
        export_study(study, home=tmp_path, forms=["keras", "saved_model"], out=out)
    assert asked == []


def test_what_is_missing_is_named(study: str, asked, tmp_path: Path):
    with pytest.raises(UserError, match="did you mean"):
        export_study(study + "x", home=tmp_path)
    with pytest.raises(UserError, match="no format"):
        export_study(study, home=tmp_path, forms=["onnxx"])
    for path in (StudyFolder(tmp_path, study).path / "weights").iterdir():
        path.unlink()
    with pytest.raises(ArchsearchError, match=r"weights of .* are gone"):
        export_study(study, home=tmp_path)
    failing = World(failures={f"trial-{n:04d}": "NaN" for n in range(3)})
    settings = RunSettings(
        space="vgg", flops="20M", trials=3, epochs=2, workers=1, home=str(tmp_path), name="bad"
    )
    with pytest.raises(ArchsearchError, match="no network trained"):
        failing.run(replace(settings))
    with pytest.raises(UserError, match="'bad' has no winner: no network trained to its end"):
        export_study("bad", home=tmp_path)
    assert asked == []


def test_without_tensorflow_there_is_a_result_but_no_export(
    study: str, asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(format, "find_spec", lambda name: None)
    says = f"pip install tensorflow, then archsearch export {study}"
    with pytest.raises(UserError, match=says):
        export_study(study, home=tmp_path)
    world = World(export=lambda store, folder: export_study(study, home=tmp_path))
    settings = RunSettings(space="vgg", flops="20M", trials=3, epochs=1, home=str(tmp_path))
    result = world.run(replace(settings, workers=1, name="another"))
    assert result.winner is not None
    warnings = [event.text for event in world.events if isinstance(event, Notice)]
    assert any(says in text for text in warnings)
    assert asked == []


def test_a_model_says_which_training_it_holds_and_how_that_did(study: str, asked, tmp_path: Path):
    export_study(study, home=tmp_path)
    result = studies.load_result(study, home=tmp_path)
    about = json.loads(asked[0].about)
    training = about["training"]
    assert (training["study"], training["key"]) == (study, result.best_key)
    assert result.best_key.endswith(f"seed{training['seed']}")
    assert training["val_accuracy"] == result.best_val >= result.winner.final_val.mean
    assert training["test_accuracy"] == result.best_test
    assert about["finals"]["val"]["mean"] == result.winner.final_val.mean
    assert "3x3-stacks" in about["rules"]["held"]
    assert about["rules"]["broken"] == []
    text = io.StringIO()
    Console(file=text, width=200).print(*ending(result, home=tmp_path))
    own = f"of {result.best_key}: its own validation {result.best_val:.1%}"
    assert own in text.getvalue()
