import numpy as np
import pytest

from archsearch.data.sources.items import FREE
from archsearch.data.split import TEST, TRAIN, VAL, assign, leaks
from archsearch.errors import DataError, UserError


def free(n: int) -> np.ndarray:
    return np.full(n, FREE, dtype=np.int8)


def make(labels, fixed=None, **kwargs):
    labels = np.asarray(labels, dtype=np.int64)
    kwargs = {"seed": 0, "val": 0.15, "test": 0.15, "classes": ("ant", "bee")} | kwargs
    return assign(labels, free(len(labels)) if fixed is None else fixed, **kwargs)


def test_every_class_gets_its_share_of_every_split():
    labels = np.array([0] * 100 + [1] * 20)
    split = make(labels)
    assert [np.sum(split[labels == 0] == s) for s in (TRAIN, VAL, TEST)] == [70, 15, 15]
    assert [np.sum(split[labels == 1] == s) for s in (TRAIN, VAL, TEST)] == [14, 3, 3]


def test_a_seed_fixes_the_split_and_another_class_changes_nothing():
    labels = np.array([0] * 50 + [1] * 50)
    assert np.array_equal(make(labels), make(labels))
    assert not np.array_equal(make(labels), make(labels, seed=1))
    grown = np.append(labels, [1] * 7)
    assert np.array_equal(make(labels)[:50], make(grown)[:50])


def test_a_published_test_split_is_kept_and_validation_is_cut_out_of_the_rest():
    labels = np.array([0, 1] * 60)
    fixed = free(120)
    fixed[100:] = TEST
    split = make(labels, fixed)
    assert np.array_equal(np.flatnonzero(split == TEST), np.arange(100, 120))
    assert np.sum(split == VAL) == 2 * round(0.15 * 50)


def test_all_published_splits_are_kept():
    fixed = free(30)
    fixed[10:20] = VAL
    fixed[20:] = TEST
    split = make([0, 1] * 15, fixed)
    assert split.tolist() == [TRAIN] * 10 + [VAL] * 10 + [TEST] * 10


@pytest.mark.parametrize("count", [3, 4, 5, 6])
def test_small_classes_still_reach_every_split(count):
    split = make([0] * count + [1] * count)
    assert {*split[:count]} == {*split[count:]} == {TRAIN, VAL, TEST}


def test_too_few_images_name_the_class_and_what_is_needed():
    text = (
        "class 'bee' has 2 images to train on, and at least 3 are needed for "
        "train, val and test; add some or leave the class out"
    )
    with pytest.raises(DataError) as caught:
        make([0, 0, 0, 1, 1])
    assert str(caught.value) == text


def test_copies_of_a_picture_stay_together():
    labels = np.zeros(60, dtype=np.int64)
    groups = np.arange(60) // 3
    split = make(labels, classes=("ant",), groups=groups)
    for group in range(20):
        assert len({*split[groups == group]}) == 1
    assert [np.sum(split == s) for s in (TRAIN, VAL, TEST)] == [42, 9, 9]


def test_a_class_of_copies_is_split_all_the_same_and_the_leak_is_counted():
    groups = np.arange(8) // 4
    split = make([0] * 8, classes=("ant",), groups=groups)
    assert {*split} == {TRAIN, VAL, TEST}
    assert leaks(split, groups) in {1, 2}
    assert leaks(np.array([0, 0, 1, 1], dtype=np.int8), np.array([0, 1, 1, 2])) == 1
    assert leaks(split, None) == 0


@pytest.mark.parametrize(("val", "test"), [(0, 0.1), (0.5, 0.5), (-1, 0.2), (0.1, float("nan"))])
def test_impossible_shares_are_refused(val, test):
    with pytest.raises(UserError, match="shares"):
        make([0] * 9, classes=("ant",), val=val, test=test)
