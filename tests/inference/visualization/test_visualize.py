"""The page names every picture that is there, and occlusion finds what the answer hangs on."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.cli import main
from archsearch.errors import UserError
from archsearch.exchange.formats.keras_file import KERAS_FILE
from archsearch.inference.exported import Model, ModelFacts
from archsearch.inference.visualization import pictures
from archsearch.inference.visualization.occlusion import occlusion_map
from archsearch.inference.visualization.page import Figure, Section, page
from archsearch.inference.visualization.visualize import visualize
from archsearch.training.setup import WorkerSetup
from tests.third_party.example.archsearch_example.npz import NPZ

FACTS = ModelFacts(
    classes=("dark", "bright"), input=(16, 16, 1), mean=(0.0,), std=(64.0,), dataset="greys",
    resize="crop", ranges={}, training={}, data={}, graph={},
)  # fmt: skip


def by_corner(images):
    share = images[:, :4, :4].mean(axis=(1, 2, 3)) / 255
    return np.stack([1 - share, share], axis=1)


MODEL = Model(path=Path("m.npz"), form=NPZ, facts=FACTS, answers=by_corner)


def test_occlusion_finds_the_corner_that_the_answer_hangs_on():
    image = np.full((16, 16, 1), 255, np.uint8)
    found = occlusion_map(MODEL, image, 1)
    assert found.shape == (16, 16)
    assert np.unravel_index(found.argmax(), found.shape) < (4, 4)
    assert found[:4, :4].min() > 0
    assert np.abs(found[8:, 8:]).max() == 0
    assert occlusion_map(MODEL, image, 0).min() < 0  # that class gains


def test_pictures_show_values_as_they_are():
    image = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    shown = np.asarray(pictures.picture(image))
    assert shown.shape == (160, 160)
    assert (shown[::40, ::40] == image[..., 0]).all()
    found = np.zeros((4, 4))
    found[0, 3] = 1
    over = np.asarray(pictures.overlay(image, found)).astype(int)
    bright = over.sum(axis=2)
    assert np.unravel_index(bright.argmax(), bright.shape) > (0, 120)
    assert np.asarray(pictures.overlay(image, np.zeros((4, 4)))).shape == (160, 160, 3)
    back = np.zeros((4, 4, 1))
    back[1, 1], back[2, 2] = 3, -3
    grey = np.asarray(pictures.signal(back))[20::40, 20::40]
    assert (grey[0, 0], grey[1, 1], grey[2, 2]) == (127, 255, 0)
    assert pictures.filters(np.ones((3, 3, 3, 5))).mode == "RGB"
    assert (
        pictures.filters(np.ones((3, 3, 7, 5))).size == pictures.filters(np.ones((3, 3, 1, 5))).size
    )


def test_a_page_shows_names_as_they_are():
    text = page("<b>", "a & b", [Section("s", "", [Figure("a b#.png", '"x" <i>')])])
    assert "<title>&lt;b&gt;</title>" in text
    assert 'src="a%20b%23.png" alt="&quot;x&quot; &lt;i&gt;"' in text


def test_what_cannot_be_shown_is_said_in_one_line(tmp_path):
    with pytest.raises(UserError, match="format npz does not give its weights back; export it as"):
        visualize(MODEL, [], tmp_path / "seen")
    from archsearch.inference.visualization.visualize import Wanted

    with pytest.raises(UserError, match="no class 'red'; the model knows 2: dark, bright"):
        visualize(replace(MODEL, form=KERAS_FILE), [], tmp_path / "s", wanted=Wanted(label="red"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.keras
def test_the_command_writes_a_page_with_all_its_pictures(
    saved_model, halves, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(WorkerSetup, "apply", lambda self: None)
    out = tmp_path / "seen"
    asked = ["visualize", str(saved_model), str(halves), "--out", str(out), "--shown", "2"]
    assert main([*asked, "--units", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["page"] == str(out / "index.html")
    text = (out / "index.html").read_text(encoding="utf-8")
    named = re.findall(r'src="([^"]+)"', text)
    assert sorted(named) == sorted(found["pictures"]) == sorted(p.name for p in out.glob("*.png"))
    # Of each of two images: itself, a map at the end of three stages, occlusion; two units a stage; filters.
    assert len(named) == 2 * (1 + 3 + 1) + 3 * 2 + 1
    for name in named:
        with Image.open(out / name) as picture:
            picture.load()
    assert main(asked) == 2
    assert "exists; give another --out, or --force" in capsys.readouterr().err
    again = [*asked, "--units", "1", "--shown", "1", "--force"]
    assert main(again) == 0
    assert len(list(out.glob("*.png"))) < len(named)


def test_force_replaces_no_photos(saved_model, halves, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(WorkerSetup, "apply", lambda self: None)
    photos = tmp_path / "photos"
    shutil.copytree(halves, photos)
    (photos / "index.html").write_text("<!doctype html><title>mine</title>")
    before = sorted(photos.rglob("*"))
    one = next(photos.rglob("*.png"))
    for place in (photos, one):
        command = ["visualize", str(saved_model), str(photos), "--out", str(place), "--force"]
        assert main(command) == 2
        said = capsys.readouterr().err
        assert "archsearch did not write, and --force leaves that alone" in said
        assert said.count("\n") == 1
    assert sorted(photos.rglob("*")) == before
