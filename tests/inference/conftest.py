"""An exported network whose answers differ from image to image, and its images as files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from archsearch.data.dataset import load
from archsearch.exchange.export import ExportRequest, read_trained
from archsearch.exchange.formats.format import Format, file_name
from archsearch.exchange.formats.saved_model import SAVED_MODEL
from tests.exchange.test_export import request_for
from tests.images import CLASSES
from tests.networks import vgg_like

ABOUT = {
    "training": {
        "study": "s", "key": "final-0001-seed1", "seed": 1, "study_seed": 0, "val_accuracy": None,
        "test_accuracy": 0.5, "epochs": 3, "recipe": "default", "backend": "jax", "precision": "float32",
    }
}  # fmt: skip


@pytest.fixture(scope="session")
def halves(dataset: Path, tmp_path_factory) -> Path:
    """The test images of the grey halves, one PNG each, in a folder a class."""
    folder = tmp_path_factory.mktemp("halves")
    test = load(dataset).test
    for number, (image, label) in enumerate(zip(test.images, test.labels, strict=True)):
        path = folder / CLASSES[label] / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image[:, :, 0]).save(path)
    return folder


@pytest.fixture(scope="session")
def asked(dataset: Path, tmp_path_factory) -> ExportRequest:
    """What is exported, in whichever format."""
    folder = tmp_path_factory.mktemp("weights")
    request, _ = request_for(vgg_like(), dataset, folder, about=json.dumps(ABOUT))
    return request


def written(asked: ExportRequest, form: Format, folder: Path) -> Path:
    """Write it in a format, without the process that `export` compares it in."""
    trained, out = read_trained(asked), folder / file_name(form)
    form.write(replace(trained, about={"format": form.name, **trained.about}), out)
    return out


@pytest.fixture(scope="session")
def saved_model(asked: ExportRequest, tmp_path_factory) -> Path:
    """It as a SavedModel."""
    return written(asked, SAVED_MODEL, tmp_path_factory.mktemp("saved"))
