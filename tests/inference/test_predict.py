"""Answers to image files: those of the network to the images it was trained on, in order, decoded ahead."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import archsearch
from archsearch.cli import main
from archsearch.data.arrays.ranges import Range
from archsearch.data.dataset import load
from archsearch.data.decoding import chunk_length
from archsearch.data.prepare import prepare
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.export import read_trained, trained_probabilities
from archsearch.exchange.formats.keras_file import KERAS_FILE
from archsearch.exchange.formats.read_back import read_facts
from archsearch.exchange.formats.registry import load_formats
from archsearch.inference.exported import Model, ModelFacts, model_facts, open_model
from archsearch.inference.image_files import image_files
from archsearch.inference.predict import predict
from archsearch.training.setup import WorkerSetup
from tests.images import CLASSES
from tests.inference.conftest import written

FACTS = ModelFacts(
    classes=("dark", "bright"), input=(8, 8, 1), mean=(128.0,),
    std=(64.0,), dataset="greys", resize="squash", ranges={},
    training={}, data={}, graph={},
)  # fmt: skip


def by_brightness(images):
    share = images.mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - share, share], axis=1)


MODEL = Model(path=Path("greys.keras"), form=KERAS_FILE, facts=FACTS, answers=by_brightness)


def write_greys(folder: Path, count: int) -> list[Path]:
    paths = [folder / f"{n:04}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.new("L", (9, 5), n % 256).save(path)
    return paths


def test_every_file_is_answered_in_order_and_bad_ones_say_why(tmp_path):
    paths = write_greys(tmp_path, 600)
    paths[3].write_bytes(b"no image")
    paths[599].unlink()
    told = []
    found = list(predict(MODEL, paths, top=2, progress=lambda *n: told.append(n)))
    assert [one.file for one in found] == paths
    assert [(n, one.reason) for n, one in enumerate(found) if one.reason] == [
        (3, "not an image"), (599, "no such file or directory"),
    ]  # fmt: skip
    for n, one in enumerate(found):
        if not one.reason:
            assert dict(zip(one.classes, one.probabilities, strict=True))["bright"] == n % 256 / 255
            assert one.probabilities[0] >= one.probabilities[1]
    assert told == [(256, 600), (512, 600), (600, 600)]


def test_the_next_images_are_decoded_while_the_model_works(tmp_path):
    paths = write_greys(tmp_path, 3 * chunk_length(FACTS.input))
    further = threading.Event()
    waited = []

    class Watched(type(Path())):
        def __fspath__(self):
            further.set()
            return super().__fspath__()

    def answer(images):
        if not waited:
            waited.append(further.wait(60))
        return by_brightness(images)

    later = [*paths[: chunk_length(FACTS.input)], *map(Watched, paths[chunk_length(FACTS.input) :])]
    assert len(list(predict(replace(MODEL, answers=answer), later, workers=1))) == len(paths)
    assert waited == [True]


def test_batches_have_one_length_and_wrong_answers_are_refused(tmp_path):
    paths, lengths = write_greys(tmp_path, 300), set()

    def answer(images):
        lengths.add(len(images))
        return by_brightness(images)

    assert len(list(predict(replace(MODEL, answers=answer), paths))) == 300
    assert lengths == {256}
    wrong = replace(MODEL, answers=lambda images: images.mean(axis=(1, 2)))
    with pytest.raises(ArchsearchError, match=r"answers with shape \(300, 1\), not .*\(300, 2\)"):
        wrong.probabilities(np.zeros((300, 8, 8, 1), np.uint8), 300)


def test_deep_greys_are_read_in_the_range_of_the_training_images(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((8, 8), 2048, np.uint16)).save(path)
    facts = replace(FACTS, ranges={"I": Range(0, 4095)})
    (found,) = predict(replace(MODEL, facts=facts), [path], top=2)
    assert found.probabilities == pytest.approx((128 / 255, 127 / 255), abs=1e-9)


def test_files_are_found_once_in_order(tmp_path):
    for name in ("b/2.png", "b/1.JPG", "b/notes.txt", "b/.hidden.png", "a.png", "b/c/3.webp"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.symlink(tmp_path, tmp_path / "b" / "loop")
    found = image_files([tmp_path / "b", tmp_path / "a.png", tmp_path / "b" / "1.JPG", "gone.png"])
    names = [str(path.relative_to(tmp_path)) for path in found[:-1]]
    assert names == ["b/1.JPG", "b/2.png", "b/c/3.webp", "a.png"]
    assert found[-1] == Path("gone.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty holds no image; wanted files that end in"):
        image_files([tmp_path / "empty"])


def test_what_is_no_model_is_said_in_one_line(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "net.onnx").touch()
    (tmp_path / "model.txt").touch()
    for damaged in ("model.keras", "model.onnx", "model.pt2", "model.tflite"):
        (tmp_path / damaged).write_bytes(b"PK")
    for name, why in (
        ("gone", r"no model at .*gone; `archsearch export STUDY --out"),
        ("my model", r"archsearch export STUDY --out '.*my model'` writes"),
        ("folder", "a folder without a model that `archsearch export` wrote: no archsearch.json"),
        ("models", r"`archsearch export` wrote: did you mean .*models/net\.onnx\?"),
        ("model.txt", r"no exported model: wanted a folder, or a file that ends in .*\.keras"),
        ("model.keras", "does not say which classes and images it is for"),
        ("model.onnx", "does not say which classes and images it is for"),
        ("model.pt2", "does not say which classes and images it is for"),
        ("model.tflite", "does not say which classes and images it is for"),
    ):
        with pytest.raises(UserError, match=why) as caught:
            open_model(tmp_path / name)
        assert "\n" not in str(caught.value)
    (tmp_path / "folder" / "archsearch.json").write_text('{"format": "saved_model"}')
    with pytest.raises(ArchsearchError, match=r"says of itself is damaged .*export it again"):
        open_model(tmp_path / "folder")


QUICK = ("keras", "saved_model")
EACH = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in sorted(load_formats())
]


@pytest.mark.keras
@pytest.mark.parametrize("name", EACH)
def test_a_model_of_each_format_answers_as_the_network_it_was_trained_as(
    name, asked, halves, dataset, tmp_path
):
    form = load_formats()[name]
    out = written(asked, form, tmp_path)
    assert json.loads(read_facts(form, out))["format"] == name
    model = open_model(out)
    assert model.facts.classes == CLASSES
    assert model.facts.training["seed"] == 1
    files = image_files([halves])
    found = list(predict(model, files, top=len(CLASSES)))
    test = load(dataset).test
    wanted = trained_probabilities(read_trained(asked), test.images)
    assert len(found) == len(wanted) == 40
    for one in found:
        row = dict(zip(one.classes, one.probabilities, strict=True))
        got = [row[name] for name in CLASSES]
        np.testing.assert_allclose(
            got, wanted[int(one.file.stem)], atol=1e-3 if form.exact else 0.1
        )


@pytest.mark.keras
def test_files_are_read_as_preparing_reads_them(asked, tmp_path):
    """Other shapes squashed, greys of 12 bits in the range found over all: the very pixels of training."""
    rng = np.random.default_rng(0)
    for label in CLASSES:
        (tmp_path / "photos" / label).mkdir(parents=True)
        for n in range(4):
            pixels = rng.integers(0, 4096, (20, 31), np.uint16)
            Image.fromarray(pixels).save(tmp_path / "photos" / label / f"{n}.png")
    folder = prepare(
        str(tmp_path / "photos"),
        home=tmp_path,
        input=(16, 16, 1),
        resize="squash",
        val=0.3,
        test=0.3,
    )
    out = written(replace(asked, dataset=str(folder)), KERAS_FILE, tmp_path)
    facts = model_facts(KERAS_FILE, out)
    assert (facts.resize, facts.ranges["I"].high) == ("squash", 4095)
    seen = []
    model = Model(
        path=out,
        form=KERAS_FILE,
        facts=facts,
        answers=lambda images: seen.append(images) or np.ones((len(images), 5)) / 5,
    )
    list(predict(model, image_files([tmp_path / "photos"])))
    data = load(folder)
    prepared = np.concatenate([data.train.images, data.val.images, data.test.images])
    assert {image.tobytes() for image in seen[0]} == {image.tobytes() for image in prepared}


@pytest.mark.keras
def test_the_command_prints_a_table_or_json_and_counts_bad_files(
    saved_model, halves, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        WorkerSetup, "apply", lambda self: None
    )  # this process is not the command's
    (tmp_path / "bad.png").write_bytes(b"no image")
    image = next(halves.rglob("*.png"))
    assert main(["predict", str(saved_model), str(halves), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["predictions"]) == 40
    assert found["bad"] == []
    assert main(["predict", str(saved_model), str(image), str(tmp_path), "--top", "2"]) == 1
    out, err = capsys.readouterr()
    assert out.count(str(image)) == 2
    assert "bad.png: not an image\n1 of 2 images could not be read" in err
    assert main(["predict", str(saved_model), str(tmp_path / "gone")]) == 1
    (one,) = archsearch.predict(saved_model, [image], top=2)
    assert [one.classes[0], one.probabilities[0]] == [
        next(p[key] for p in found["predictions"] if p["file"] == str(image))
        for key in ("class", "probability")
    ]
