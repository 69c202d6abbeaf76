import pytest

from archsearch.recipes.named import find_recipe
from archsearch.training.job import (
    EpochReport,
    Job,
    Outcome,
    evaluation_count,
    from_json,
    is_evaluated,
    to_json,
)

JOB = Job(
    key="trial-0007",
    graph="{}",
    dataset="data/x",
    recipe=find_recipe("default"),
    images=250,
    seed=3,
)


@pytest.mark.parametrize(
    "value",
    [
        JOB,
        EpochReport(
            key="a", epoch=1, loss=1.0, accuracy=0.5, val_loss=1.5, val_accuracy=0.25,
            images_per_s=100.0, learning_rate=0.1, wall_s=2.0,
        ),
        Outcome(key="a", status="failed", reason="loss became NaN at epoch 2"),
    ],
)  # fmt: skip
def test_json_brings_the_same_value_back(value):
    assert from_json(to_json(value)) == value


def test_unknown_kinds_are_refused():
    with pytest.raises(ValueError, match="kind 'Letter'"):
        from_json('{"kind": "Letter"}')


def test_the_last_epoch_may_be_partial():
    assert JOB.epochs(100) == 3
    assert JOB.epochs(250) == JOB.epochs(1000) == 1


def test_the_first_and_the_last_epoch_are_always_evaluated():
    def evaluated(epochs, every):
        return [n for n in range(1, epochs + 1) if is_evaluated(n, epochs=epochs, every=every)]

    assert evaluated(4, 1) == [1, 2, 3, 4]
    assert evaluated(8, 3) == [1, 3, 6, 8]
    assert evaluated(3, 9) == [1, 3]
    assert evaluated(1, 2) == [1]


def test_evaluations_are_counted_as_they_come():
    for epochs in range(1, 30):
        for every in range(1, 35):
            one_by_one = sum(
                is_evaluated(epoch, epochs=epochs, every=every) for epoch in range(1, epochs + 1)
            )
            assert evaluation_count(epochs=epochs, every=every) == one_by_one
