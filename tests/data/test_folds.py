"""Other splits of the same images: as large, as balanced, the test images untouched."""

import numpy as np
import pytest

from archsearch.data import load, prepare
from archsearch.data.dataset import Dataset, Split
from archsearch.data.folds import refolded


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Dataset:
    return load(prepare("digits", home=tmp_path_factory.mktemp("home"), seed=0))


def rows(*splits: Split) -> list[bytes]:
    return sorted(
        bytes([label]) + image.tobytes()
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    )


def test_a_fold_deals_the_same_images_anew(digits: Dataset):
    fold = refolded(digits, 1)
    assert rows(fold.train, fold.val) == rows(digits.train, digits.val)
    assert rows(fold.val) != rows(digits.val)
    counts = [np.bincount(data.val.labels).tolist() for data in (fold, digits)]
    assert counts[0] == counts[1]
    assert fold.test is digits.test
    assert (fold.mean, fold.std, fold.digest) == (digits.mean, digits.std, digits.digest)


def test_a_number_is_a_split(digits: Dataset):
    assert refolded(digits, 0) is digits
    assert rows(refolded(digits, 3).val) == rows(refolded(digits, 3).val)
    assert rows(refolded(digits, 3).val) != rows(refolded(digits, 4).val)


def test_copies_of_an_image_stay_together():
    images = np.repeat(np.arange(20, dtype=np.uint8), 2).reshape(40, 1, 1, 1)
    labels = np.repeat([0, 1], 20).astype(np.int64)
    train = np.arange(40) % 20 < 16
    data = Dataset(
        name="copies", source="", digest="", classes=("a", "b"), input=(1, 1, 1), mirror=False,
        train=Split(images[train], labels[train]), val=Split(images[~train], labels[~train]),
        test=Split(images[:0], labels[:0]), mean=(0.0,), std=(1.0,),
    )  # fmt: skip
    for number in range(1, 6):
        fold = refolded(data, number)
        assert len(fold.val) == 8
        assert not set(fold.val.images.ravel().tolist()) & set(fold.train.images.ravel().tolist())
