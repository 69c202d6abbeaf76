"""A card says which training it is of, what it costs and how it is used; its programs run."""

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from archsearch.data.dataset import load
from archsearch.errors import UserError
from archsearch.exchange.cards.beside import card_path, write_card
from archsearch.exchange.cards.card import card
from archsearch.exchange.cards.judged import Judged
from archsearch.exchange.cards.licence import licensed
from archsearch.exchange.cards.usage import ShowsUse
from archsearch.exchange.export import ExportRequest, read_trained
from archsearch.exchange.formats.format import Trained, file_name
from archsearch.exchange.formats.keras_file import KERAS_FILE
from archsearch.exchange.formats.registry import load_formats
from archsearch.exchange.latency import Latency
from archsearch.inference.exported import open_model
from archsearch.inference.predict import predict
from archsearch.statistics.classification import classification
from archsearch.testing.format_case import FormatCase
from tests.exchange.test_export import request_for
from tests.networks import vgg_like
from tests.third_party.example.archsearch_example.npz import NPZ

SHOWN = [name for name, form in sorted(load_formats().items()) if isinstance(form, ShowsUse)]
QUICK = ("keras", "saved_model")
EACH = [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in SHOWN]
ABOUT = {
    "network": "small | net",
    "training": {
        "study": "s", "key": "final-0003-seed2", "seed": 2, "study_seed": 7, "val_accuracy": 0.578,
        "test_accuracy": 0.561, "epochs": 12, "recipe": "long", "backend": "torch",
        "precision": "float32",
    },
    "finals": {
        "val": {"mean": 0.544, "sd": 0.028, "n": 3}, "test": {"mean": 0.53, "sd": None, "n": 1},
    },
    "rules": {
        "held": ["3x3-stacks", "doubling"], "broken": [["doubling", "conv2: 3 channels"]],
        "obeyed": [],
    },
    "data": {"digest": "0123456789abcdef", "counts": {"test": 20, "train": 1000, "val": 40}},
    "ranges": {"I": {"low": 0, "high": 4095}},
}  # fmt: skip


def judged() -> Judged:
    answers = np.array([[0.9, 0.1, 0, 0, 0], [0.8, 0.2, 0, 0, 0]])
    return Judged(
        scores=classification(np.array([0, 1]), answers, tuple("abcde")),
        latency=Latency(
            median_ms=1.5, p10_ms=1.4, p90_ms=1.9, calls=30, batch=1, device="cpu", threads=2
        ),
        machine="A processor",
        size_bytes=1_230_000,
    )


def example() -> Trained:
    return replace(FormatCase().example(), about=ABOUT, resize="squash")


def test_it_says_which_training_it_is_of_and_what_the_network_comes_to():
    text = card(example(), KERAS_FILE, "model.keras", judged())
    for said in (
        "This is training `final-0003-seed2` (seed 2) of study s. Its own validation accuracy is 57.8%, "
        "its own test accuracy 56.1%.",
        "| this training (seed 2) | 57.8% | 56.1% |",
        "| 54.4 ± 2.8 % (n = 3) | 53.0 % (n = 1) |",
        "| this export, on 2 test images | | 50.0%",
        "`0123456789abcdef`",
        "1,000 train, 40 val, 20 test",
        "class 0/ü, class 1/ü",
        "- kept: 3x3-stacks\n- broken: \n  - doubling: conv2: 3 channels",
        "1.23 MB on disk",
        "1.50 ms a call of one image (1.40 to 1.90 ms in 8 of 10 calls), on cpu with 2 threads: A processor.",
        "uint8 images of 16 × 16 pixels, RGB, 0 to 255",
        "each side scaled by itself",
        "integers of more than 8 bits: 0 to 4095 become 0 to 255",
        "recipe long, 12 epochs",
        "seeds: study 7, training 2",
        "keras 3.",
        "archsearch predict model.keras image.jpg",
        "# small \\| net for some images",
    ):
        assert said in text, said


def test_of_an_ensemble_it_names_the_members():
    members = {
        "study": "s",
        "keys": ["a-seed1", "b-seed1"],
        "val_accuracy": 0.9,
        "test_accuracy": 0.8,
    }
    about = {"network": "ensemble of 2 networks", "members": members}
    text = card(replace(example(), about=about), KERAS_FILE, "model.keras", judged())
    assert "averages the probabilities of 2 trainings of study s: `a-seed1`, `b-seed1`." in text
    assert "accuracy on these is 90.0%, on test images 80.0%." in text
    assert "is not known.\n\n## Intended" not in text


def test_its_head_is_what_model_hubs_read():
    _, head, _ = card(example(), KERAS_FILE, "model.keras", judged()).split("---\n", 2)
    found = yaml.safe_load(head)
    assert found["license"] == "unknown"
    assert found["pipeline_tag"] == "image-classification"
    [model] = found["model-index"]
    [result] = model["results"]
    assert result["task"] == {"type": "image-classification"}
    assert result["dataset"] == {"name": "some images", "type": "some images", "split": "test"}
    assert result["metrics"][0]["value"] == 0.5


def test_what_is_not_known_is_said_so():
    nothing = Judged(scores=None, latency=None, machine="", size_bytes=1)
    text = card(replace(example(), about={}), NPZ, "model.npz", nothing)
    assert "Which training this is of is not known." in text
    assert "Which rules the network was built to hold is not known." in text
    assert "there are no test images" in text
    assert "this format is loaded anew with every call" in text
    assert "without archsearch" not in text


def test_no_other_text_is_overwritten(tmp_path):
    out, project = tmp_path / "model.keras", tmp_path / "README.md"
    out.touch()
    project.write_text("My project")
    first = tmp_path / "model.keras.md"
    assert card_path(out) == first
    first.write_text(card(example(), KERAS_FILE, "model.keras", judged()))
    assert card_path(out) == first
    assert card_path(tmp_path / "other.onnx") == tmp_path / "other.onnx.md"
    first.write_text("My notes")
    assert card_path(out) == tmp_path / "model.keras.card.md"
    (tmp_path / "model.keras.card.md").mkdir()
    assert card_path(out) == tmp_path / "model.keras.card2.md"
    assert (project.read_text(), first.read_text()) == ("My project", "My notes")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert card_path(folder) == folder / "README.md"


def test_the_licence_is_in_its_head_and_in_its_own_section():
    about = {**ABOUT, **licensed("cc-by-4.0")}
    text = card(replace(example(), about=about), KERAS_FILE, "model.keras", judged())
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "cc-by-4.0"
    assert text.endswith("## Licence\n\ncc-by-4.0\n")
    assert licensed(None) == {}
    odd = card(replace(example(), about=licensed('a: "b" #')), KERAS_FILE, "model.keras", judged())
    assert yaml.safe_load(odd.split("---\n")[1])["license"] == 'a: "b" #'
    for wrong in ("", " ", "a\nb", "x" * 101):
        with pytest.raises(UserError, match="wanted a name of one line, such as apache"):
            licensed(wrong)


@pytest.fixture(scope="module")
def asked(dataset, tmp_path_factory) -> ExportRequest:
    return request_for(vgg_like(), dataset, tmp_path_factory.mktemp("weights"))[0]


def written(asked: ExportRequest, name: str, place) -> tuple[str, str, Path]:
    """Write a model and its card; return the card's program, what it is to print, and where it runs."""
    form, trained = load_formats()[name], read_trained(asked)
    out = place / file_name(form)
    trained = replace(trained, about={"format": name, **trained.about})
    form.write(trained, out)
    card_at = write_card(trained, form, out, load(Path(asked.dataset)).test)
    assert card_at == card_path(out)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 200, (40, 24, 3), np.uint8)
    pixels[:, :12] += 50
    Image.fromarray(pixels).save(card_at.parent / "image.jpg")
    (found,) = predict(open_model(out), [card_at.parent / "image.jpg"])
    [program] = re.findall(r"```python\n(.*?)```", card_at.read_text(encoding="utf-8"), re.DOTALL)
    return program, f"{found.classes[0]} {found.probabilities[0]:.3f}", card_at.parent


@pytest.mark.keras
@pytest.mark.parametrize("name", EACH)
def test_its_program_answers_as_predict(name, asked, tmp_path, monkeypatch):
    program, wanted, place = written(asked, name, tmp_path)
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # libraries warn their users of what they are going to do
        exec(program, {})
    answer, share = printed.getvalue().split()
    assert f"{answer} {float(share):.3f}" == wanted


@pytest.mark.slow
@pytest.mark.keras
@pytest.mark.parametrize("name", SHOWN)
def test_its_program_needs_no_archsearch(name, asked, tmp_path):
    program, wanted, place = written(asked, name, tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['archsearch'] = None\n{program}"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer, share = done.stdout.split()
    assert f"{answer} {float(share):.3f}" == wanted
