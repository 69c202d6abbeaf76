"""Studies written by the version before format 2: opened, shown, resumed."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.leaderboard import read_result, spent_flops
from archsearch.archive.optuna_terms import distributions
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import UserError
from archsearch.ir.codec import content_hash, to_json
from archsearch.settings import RunSettings
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import ChoiceKnob
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.units import training_flops
from tests.world import World

KEPT = json.loads(Path(__file__).with_name("format_1.json").read_text(encoding="utf-8"))
NAME = "vgg-20M-digits"
SIZE = (32, 32, 1)


def written(home: Path, study: dict[str, Any]) -> None:
    """Write a study as the version before did."""
    space = find_space("vgg")
    request = Request(SIZE, 10, Budget.cap(20_000_000, SIZE))
    knobs = distributions(space.knobs(request))
    # Networks were as they were: any of the same knobs will do here.
    graphs = {
        t["attrs"]["graph"]: solve(space, t["params"], request).graph for t in study["trials"]
    }
    text = json.dumps(study)
    for then, graph in graphs.items():
        text = text.replace(then, content_hash(graph))
    study = json.loads(text)
    with opened(default_url(home)) as storage:
        directions = [optuna.study.StudyDirection.MAXIMIZE]
        study_id = storage.create_new_study(directions, NAME)
        for name, value in study["attributes"].items():
            storage.set_study_user_attr(study_id, name, value)
        for trial in study["trials"]:
            storage.create_new_trial(study_id, _frozen(trial, knobs))
    folder = StudyFolder(home, NAME)
    folder.create()
    settings = {**study["attributes"]["archsearch"]["settings"], "home": str(home)}
    folder.write_settings(RunSettings.from_dict(settings))
    for graph in graphs.values():
        folder.write_graph(content_hash(graph), to_json(graph))


def _frozen(trial: dict[str, Any], knobs: dict[str, Any]) -> optuna.trial.FrozenTrial:
    now = optuna.trial.create_trial(value=0.0).datetime_start
    state = optuna.trial.TrialState[trial["state"]]
    return optuna.trial.FrozenTrial(
        number=trial["number"], trial_id=0, state=state, value=None, values=trial["values"],
        datetime_start=now, datetime_complete=now if state.is_finished() else None,
        params=trial["params"], distributions=knobs, user_attrs=trial["attrs"],
        system_attrs={}, intermediate_values={int(e): v for e, v in trial["reports"].items()},
    )  # fmt: skip


def shown(rows) -> list[dict[str, Any]]:
    return [{name: asdict(row)[name] for name in KEPT["table"][0]} for row in rows]


def test_its_table_is_what_it_was(tmp_path: Path):
    written(tmp_path, KEPT["studies"]["complete"])
    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.open(storage, NAME)
        result = read_result(store)
        assert shown(result.rows) == KEPT["table"]
        assert result.rows[0].findings is None  # it did not look
        # It counted no images, but said how many a second: four epochs of a thousand.
        flops = {trial.design.name: trial.design.flops for trial in store.trials}
        images = [outcome.images for outcome in store.finals.values()]
        assert images == [4000] * 6
        finals = sum(training_flops(flops[key.name], 4000) for key in store.finals)
        assert finals < spent_flops(store) <= finals + training_flops(sum(flops.values()), 4000)


@pytest.mark.parametrize("state", ["in-search", "in-finals"])
def test_it_is_taken_up_and_goes_on_in_format_6(tmp_path: Path, state: str):
    written(tmp_path, KEPT["studies"][state])
    kept = {trial["number"]: trial for trial in KEPT["studies"][state]["trials"]}
    result = World().resume(NAME, tmp_path)
    assert result.status == "complete"
    assert len(result.rows) == 6
    for row in result.rows:
        before = kept.get(int(row.name[-4:]))
        if before and "outcome" in before["attrs"]:
            assert row.val_accuracy == before["attrs"]["outcome"]["val_accuracy"]
    with opened(default_url(tmp_path)) as storage:
        study_id = storage.get_study_id_from_name(NAME)
        assert storage.get_study_user_attrs(study_id)["format"] == 6
        assert read_result(StudyStore.open(storage, NAME)) == replace(result, wall_s=result.wall_s)


def test_a_search_in_a_space_of_other_knobs_does_not_go_on(tmp_path: Path, monkeypatch):
    written(tmp_path, KEPT["studies"]["in-search"])
    space = type(find_space("vgg"))
    knobs = space.knobs
    other = ChoiceKnob("head", ("fc", "gap", "conv"))
    monkeypatch.setattr(
        space,
        "knobs",
        lambda self, request: tuple(other if k.name == "head" else k for k in knobs(self, request)),
    )
    with pytest.raises(UserError, match="other knobs, so its search can't go on") as error:
        World().resume(NAME, tmp_path)
    assert "\n" not in str(error.value)


def test_a_later_format_is_refused_with_what_to_do(tmp_path: Path):
    study = json.loads(json.dumps(KEPT["studies"]["complete"]))
    study["attributes"]["archsearch"]["format"] = 7
    written(tmp_path, study)
    with opened(default_url(tmp_path)) as storage, pytest.raises(UserError) as error:
        StudyStore.open(storage, NAME)
    assert "by a later one (format 7; this one reads up to 6)" in str(error.value)
    assert "\n" not in str(error.value)
