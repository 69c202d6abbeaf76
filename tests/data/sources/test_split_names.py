import pytest

from archsearch.data.sources.split_names import name_splits, split_like, split_named


@pytest.mark.parametrize(
    ("name", "split"),
    [
        (" Train ", "train"),
        ("VALID", "val"),
        ("testing", "test"),
        ("train1", None),
        ("tests", None),
    ],
)
def test_exact_names(name, split):
    assert split_named(name) == split


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("Train Images", ("train", ())),
        ("TrainingSet", ("train", ())),
        ("train_val", ("train", ())),
        ("val2017", ("val", ())),
        ("PublicTest", ("test", ())),
        ("seg_test", ("test", ("seg",))),
        ("bullet train", ("train", ("bullet",))),
        ("test tube", ("test", ("tube",))),
        ("train_test", (None, ())),
        ("contest", (None, ("contest",))),
        ("valley", (None, ("valley",))),
        ("roses", (None, ("roses",))),
    ],
)
def test_names_that_speak_of_a_split(name, like):
    assert split_like(name) == like


def test_words_of_their_own_need_a_sibling_with_the_same():
    assert name_splits(["seg_train", "seg_test", "seg_pred"]) == {
        "seg_train": "train", "seg_test": "test"
    }  # fmt: skip
    assert name_splits(["bullet train", "test tube", "car"]) == {}
    assert name_splits(["train", "car"]) == {"train": "train"}
