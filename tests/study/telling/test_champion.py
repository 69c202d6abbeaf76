"""A study's winner as a model for a registry."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.study_folder import StudyFolder
from archsearch.study.telling.champion import model_record
from tests.small_study import Small


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyResult, StudyFolder]:
    home = tmp_path_factory.mktemp("home")
    result = Small(home).run(finalists=1, seeds=1, trials=2)
    return result, StudyFolder(home, result.study)


def _exported(result: StudyResult, at: Path, key: str | None) -> StudyResult:
    """Return a study with an export that says it holds a training's weights."""
    card = at / "assets.extra" / "archsearch.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"training": {"key": key}, "classes": ["cat", "dog"]}))
    return replace(result, exports={"saved_model": str(at)})


def test_the_export_is_taken_with_an_image_of_the_study(
    ended: tuple[StudyResult, StudyFolder], tmp_path: Path
) -> None:
    result, folder = ended
    model = model_record(_exported(result, tmp_path / "m", result.best_key), folder)
    assert model is not None
    assert (model.training, model.classes) == (result.best_key, ("cat", "dog"))
    assert model.example.shape == (1, *model.input) == (1, *result.dataset.input)
    assert model.example.max() > 1  # a real one
    assert model.tags["network"] == result.winner.label


def test_there_is_no_model_of_another_winner_or_of_none(
    ended: tuple[StudyResult, StudyFolder], tmp_path: Path
) -> None:
    result, folder = ended
    assert model_record(result, folder) is None  # nothing was exported
    earlier = _exported(result, tmp_path / "m", "final-0099-seed1")
    assert model_record(earlier, folder) is None
    gone = replace(result, exports={"saved_model": str(tmp_path / "gone")})
    assert model_record(gone, folder) is None
    rows = tuple(replace(row, winner=False) for row in result.rows)
    own = _exported(result, tmp_path / "own", result.best_key)
    assert model_record(replace(own, rows=rows), folder) is None
