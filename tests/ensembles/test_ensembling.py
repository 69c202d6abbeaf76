"""From a study to its ensemble: who is asked about which images, what is told, what stays on the disk."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from archsearch.archive.study_folder import StudyFolder
from archsearch.data.dataset import load
from archsearch.data.folds import refolded
from archsearch.ensembles import ensembling, single
from archsearch.ensembles.single import known_single, single_name
from archsearch.ensembles.views import views_of
from archsearch.errors import UserError
from archsearch.exchange.answers import Answered
from archsearch.ir.codec import from_json
from archsearch.readings.cost import cost
from archsearch.report.model_tables import ensemble as table
from archsearch.settings import RunSettings
from archsearch.study import winner as exporting
from archsearch.study.catalogue import load_result, opened_existing
from archsearch.study.finalists import contenders
from archsearch.testing.fake_gauge import FakeGauge
from archsearch.training.weights import fresh_weights, load_weights, save_weights
from tests.world import World

pytestmark = pytest.mark.usefixtures("studies_in_memory")


class Asked:
    """Stands for the processes that ask networks and export: every network errs on images of its own."""

    def __init__(self) -> None:
        self.requests, self.exports, self.weights = [], [], []

    def ask(self, requests):
        self.requests += requests
        return [self.answer(request) for request in requests]

    def answer(self, request):
        data = refolded(load(Path(request.dataset)), request.fold)
        labels = np.asarray(data.split(request.split).labels)
        draws = np.random.default_rng([len(request.graph), len(Path(request.weights).name)])
        wrong = draws.random(len(labels)) < 0.3
        own = np.eye(len(data.classes))[np.where(wrong, draws.integers(0, 10, len(labels)), labels)]
        # They are surer where they are right, so that they mend one another's mistakes.
        sure = np.where(wrong, 0.2, 0.5)[:, None]
        return Answered(np.arange(len(labels)), sure * own + (1 - sure) / 10)

    def export(self, request):
        self.exports.append(request)
        self.weights.append(load_weights(Path(request.weights)))
        return FakeGauge(lambda graph: 1.0).export(request)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    fake = Asked()

    class Process(exporting.ModelProcess):
        def export(self, request):
            return fake.export(request)

    monkeypatch.setattr(exporting, "ModelProcess", Process)
    monkeypatch.setattr(ensembling, "ask", fake.ask)
    return fake


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose finalists' trainings left weights, as workers do."""
    home = tmp_path_factory.mktemp("home")
    settings = RunSettings(
        space="vgg", flops="20M", trials=3, epochs=1, workers=1, seeds=2, finalists=4, name="s",
        home=str(home),
    )  # fmt: skip
    World().run(settings)
    folder = StudyFolder(home, "s")
    with opened_existing("s", home=home) as store:
        for row, key in contenders(store, load_result("s", home=home)):
            graph = from_json(folder.read_graph(row.graph))
            save_weights(fresh_weights(graph), folder.weights(str(key)))
    return home


def test_members_are_chosen_by_images_none_has_trained_on(home: Path, asked: Asked):
    found = ensembling.ensemble("s", home=home, top=2)
    val = [request for request in asked.requests if request.split == "val"]
    assert len(val) == found.candidates >= 2
    # Few images validate here: the first seed's split is another one than the search's.
    assert {request.fold for request in val} == {1}
    assert all(member.key.endswith("-seed1") for member in found.members)
    test = [request for request in asked.requests if request.split == "test"]
    assert len(test) == len(found.members) == 2
    assert all(request.every for request in asked.requests)
    assert found.members[0].val == max(member.val for member in found.members)


def test_one_network_is_exported_with_all_members(home: Path, asked: Asked, tmp_path: Path):
    out = tmp_path / "models"
    found = ensembling.ensemble("s", home=home, forms=["keras", "saved_model"], out=out)
    assert [each.path for each in found.exports] == [out / "model.keras", out / "saved_model"]
    graph = from_json(asked.exports[0].graph)
    assert cost(graph).flops == found.flops == sum(member.flops for member in found.members)
    assert set(asked.weights[0]) == set(fresh_weights(graph))
    about = json.loads(asked.exports[0].about)
    assert about["members"]["keys"] == [member.key for member in found.members]
    assert not Path(asked.exports[0].weights).exists()
    assert json.dumps(found.to_dict())


def test_where_one_alone_is_best_the_model_is_that_network(home: Path, asked: Asked):
    found = ensembling.ensemble("s", home=home, top=1, forms=["keras"])
    [member] = found.members
    assert (found.flops, found.val, found.name) == (member.flops, member.val, member.label)
    with opened_existing("s", home=home) as store:
        rows = {str(key): row for row, key in contenders(store, load_result("s", home=home))}
    kept = StudyFolder(home, "s").read_graph(rows[member.key].graph)
    assert from_json(asked.exports[0].graph) == from_json(kept)


def test_views_are_in_the_one_network_and_paid_for(home: Path, asked: Asked):
    views = views_of((1,), mirror=True)
    found = ensembling.ensemble("s", home=home, top=2, views=views, forms=["keras"])
    graph = from_json(asked.exports[-1].graph)
    assert cost(graph).flops == found.flops == sum(member.flops for member in found.members)
    costs = {row.label: row.flops for row in load_result("s", home=home).rows}
    assert [member.flops for member in found.members] == [
        2 * costs[member.label] for member in found.members
    ]
    assert len([node for node in graph if node.op.kind == "mirror"]) == len(found.members)
    assert set(asked.weights[-1]) == set(fresh_weights(graph))
    about = json.loads(asked.exports[-1].about)
    assert about["members"]["views"] == ["scale 1", "scale 1, mirrored"]
    assert found.plain_val is not None
    asked.exports.clear()
    with pytest.raises(UserError, match=r"can't look at scale 0\.9: .* try --mirror alone"):
        ensembling.ensemble("s", home=home, views=views_of((0.9, 1), mirror=False))
    assert not asked.exports


def test_the_table_has_the_ensemble_beside_its_members(home: Path, asked: Asked):
    found = ensembling.ensemble("s", home=home, forms=["keras"])
    console = Console(width=150, record=True, file=None)
    console.print(table(found))
    text = console.export_text()
    assert f"ensemble of {len(found.members)}" in text
    for member in found.members:
        assert member.key in text
    assert f"{100 * found.test:.1f}" in text
    assert "one network" not in text


def test_one_network_of_that_cost_is_trained_and_told(
    home: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    world, run = World(), single.driver.run
    monkeypatch.setattr(
        single.driver, "run", lambda settings, on_event: run(settings, services=world.services())
    )
    found = ensembling.ensemble("s", home=home, top=2, forms=["keras"], single=True)
    assert found.single is not None
    assert found.single.study == single_name("s", found.flops)
    assert 0.95 * found.flops <= found.single.flops <= found.flops
    kept = load_result(found.single.study, home=home)
    own = load_result("s", home=home)
    assert kept.recipe == own.recipe
    mine, theirs = (load(home / "data" / one.dataset.digest).test for one in (kept, own))
    assert np.array_equal(mine.images, theirs.images)
    assert kept.settings.epochs == own.settings.epochs
    assert found.single.test is not None
    assert found.single.test.n == 2
    assert known_single("s", home=home, flops=found.flops) == found.single
    assert known_single("s", home=home, flops=7) is None


def test_what_is_lacking_is_told_before_anything_is_asked(home: Path, asked: Asked, tmp_path: Path):
    with pytest.raises(UserError, match="top is 0; an ensemble has 1 member at least"):
        ensembling.ensemble("s", home=home, top=0)
    with pytest.raises(UserError, match="no format is named 'onnxx'"):
        ensembling.ensemble("s", home=home, forms=["onnxx"])
    (tmp_path / "m.keras").write_text("mine")
    with pytest.raises(UserError, match="exists"):
        ensembling.ensemble("s", home=home, forms=["keras"], out=tmp_path / "m.keras")
    assert asked.requests == []


def test_a_study_that_kept_the_winner_alone_says_what_to_do(
    home: Path, asked: Asked, monkeypatch: pytest.MonkeyPatch
):
    with opened_existing("s", home=home) as store:
        first, *others = contenders(store, load_result("s", home=home))
    there = StudyFolder(home, "s").weights(str(first[1]))
    monkeypatch.setattr(
        StudyFolder,
        "weights",
        lambda self, key: there.with_stem(key) if key in there.stem else Path("no"),
    )
    with pytest.raises(UserError) as caught:
        ensembling.ensemble("s", home=home)
    said = str(caught.value)
    assert f"kept weights of 1 finalist ({first[0].label}) and not of {others[0][0].label}" in said
    assert "archsearch run --config" in said
    assert "\n" not in said


def test_a_study_without_finals_has_no_ensemble(asked: Asked, tmp_path: Path):
    settings = RunSettings(
        space="vgg", flops="20M", trials=2, epochs=1, workers=1, finalists=0, home=str(tmp_path)
    )
    World().run(replace(settings, name="none"))
    with pytest.raises(
        UserError, match="has 0 finalists to average, wanted 2 or more; a study with"
    ):
        ensembling.ensemble("none", home=tmp_path)


def test_finalists_weights_outlive_the_study(tmp_path: Path):
    folder = StudyFolder(tmp_path, "kept")
    folder.create()
    for key in ("final-0001-seed2", "final-0001-seed1", "final-0002-seed1", "trial-0003"):
        folder.weights(key).write_text(key)
    # One that an earlier process has removed already hinders nothing.
    folder.keep_weights(["final-0001-seed2"], besides=["final-0002-seed1", "final-0009-seed1"])
    left = sorted(path.stem for path in folder.weights("any").parent.iterdir())
    assert left == ["final-0001-seed2", "final-0002-seed1"]
    folder.keep_weights(["final-0001-seed1"], besides=["final-0002-seed1"])
    assert len(list(folder.weights("any").parent.iterdir())) == 2
