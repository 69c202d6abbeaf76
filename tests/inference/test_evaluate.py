"""Which images are asked about, and that what is told of the answers is what scikit-learn tells."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import archsearch
from archsearch.cli import main
from archsearch.data.dataset import load, read_facts
from archsearch.data.prepare import prepare
from archsearch.errors import DataError, UserError
from archsearch.exchange.formats.keras_file import KERAS_FILE
from archsearch.inference.evaluate import evaluate
from archsearch.inference.exported import Model, ModelFacts
from archsearch.training.setup import WorkerSetup
from tests.third_party.example.archsearch_example.npz import NPZ

FACTS = ModelFacts(
    classes=("a", "b", "other"), input=(32, 32, 1), mean=(128.0,),
    std=(64.0,), dataset="d", resize="crop", ranges={},
    training={}, data={}, graph={},
)  # fmt: skip


def answers(images):
    share = images.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - share, share, 0 * share], axis=1)


MODEL = Model(path=Path("m.npz"), form=NPZ, facts=FACTS, answers=answers)


def write(folder: Path, name: str, values) -> None:
    for label, greys in values.items():
        place = folder / name / label
        place.mkdir(parents=True)
        for n, grey in enumerate(greys):
            Image.new("L", (32, 32), int(grey)).save(place / f"{n}.png")


def test_a_published_test_split_is_asked_about_else_all(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / "split", name, {"a": [10, 20, 200], "b": [150, 255]})
    found = evaluate(MODEL, str(tmp_path / "split"), home=tmp_path)
    assert (found.split, found.why) == ("test", "the test images that the data publish")
    assert found.scores.images == 5
    assert found.scores.accuracy == 4 / 5
    assert found.scores.balanced_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert found.scores.confusion == ((2, 1, 0), (0, 2, 0), (0, 0, 0))
    assert found.scores.classes[2].recall is None
    assert found.latency is None  # the format loads its model with every call
    assert evaluate(MODEL, str(tmp_path / "split"), home=tmp_path, split="all").scores.images == 10
    write(tmp_path, "plain", {"b": [150, 255], "a": [10, 20, 30]})
    found = evaluate(MODEL, str(tmp_path / "plain"), home=tmp_path)
    assert (found.split, found.scores.images, found.scores.accuracy) == ("all", 5, 1)
    with pytest.raises(DataError, match="plain publishes no val split; --split all takes all"):
        evaluate(MODEL, str(tmp_path / "plain"), home=tmp_path, split="val")


def test_of_the_data_it_was_trained_with_the_studys_own_test_images_count(tmp_path):
    rng = np.random.default_rng(0)
    write(tmp_path, "mine", {"a": rng.permutation(100)[:40], "b": 100 + rng.permutation(100)[:40]})
    folder = prepare(str(tmp_path / "mine"), home=tmp_path / "home", seed=3, test=0.2)
    kept = read_facts(folder)
    data = {name: kept[name] for name in ("content", "seed", "fractions")}
    seen = []
    model = replace(
        MODEL,
        facts=replace(FACTS, data=data),
        answers=lambda images: seen.append(images) or answers(images),
    )
    found = evaluate(model, str(tmp_path / "mine"), home=tmp_path)
    assert (found.split, found.why) == ("test", "the data it was trained with, split as there")
    test = load(folder).test
    assert found.scores.images == len(test) == 16
    assert {i.tobytes() for i in seen[0]} == {i.tobytes() for i in test.images}
    prepared = evaluate(model, str(folder), home=tmp_path)
    assert replace(prepared, why=found.why, data=found.data) == found
    assert evaluate(model, str(folder), home=tmp_path, split="train").scores.images > 16


def test_what_does_not_fit_is_said_in_one_line(tmp_path):
    write(tmp_path, "odd", {"a": [1], "zebra": [2]})
    with pytest.raises(
        UserError, match="has a class 'zebra' that the model does not know; it knows 3"
    ):
        evaluate(MODEL, str(tmp_path / "odd"), home=tmp_path)
    write(tmp_path, "bad", {"a": [1, 2], "b": [3]})
    (tmp_path / "bad" / "a" / "0.png").write_bytes(b"no image")
    found = evaluate(MODEL, str(tmp_path / "bad"), home=tmp_path)
    assert found.bad == (("a/0.png", "not an image"),)
    assert found.scores.images == 2


@pytest.mark.keras
def test_the_command_shows_all_of_it(saved_model, dataset, monkeypatch, capsys):
    monkeypatch.setattr(WorkerSetup, "apply", lambda self: None)
    assert main(["evaluate", str(saved_model), str(dataset), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["images"] == 40
    assert found["latency"]["median_ms"] > 0
    assert KERAS_FILE.name not in found
    again = archsearch.evaluate(saved_model, dataset)
    assert json.loads(json.dumps(again.scores.to_dict())) == found["scores"]
    assert main(["evaluate", str(saved_model), str(dataset)]) == 0
    out, _ = capsys.readouterr()
    for word in (
        "accuracy",
        "balanced accuracy",
        "calibration",
        "ms a call",
        "recall",
        "as answered",
    ):
        assert word in out
