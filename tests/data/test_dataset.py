import json

import numpy as np
import pytest

from archsearch.data import load, prepare
from archsearch.errors import DataError


@pytest.fixture
def folder(tmp_path):
    return prepare("digits", home=tmp_path, seed=0)


def test_images_are_mapped_and_labels_fit(folder):
    data = load(folder)
    assert not data.train.images.flags.writeable
    assert isinstance(data.train.images.base, np.memmap)
    assert data.split("val") is data.val
    assert len(data.val) == len(data.val.images) == len(data.val.labels)


def test_a_folder_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(DataError, match="is no prepared dataset"):
        load(tmp_path)


def test_another_version_is_refused(folder):
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 0}))
    with pytest.raises(DataError, match="prepared by another version"):
        load(folder)


@pytest.mark.parametrize("name", ["train_images.npy", "val_labels.npy"])
def test_arrays_that_do_not_fit_are_refused(folder, name):
    np.save(folder / name, np.zeros((3, 2)))
    with pytest.raises(DataError, match="damaged"):
        load(folder)


def test_missing_facts_are_refused(folder):
    path = folder / "dataset.json"
    facts = json.loads(path.read_text())
    del facts["mean"]
    path.write_text(json.dumps(facts))
    with pytest.raises(DataError, match="damaged"):
        load(folder)
