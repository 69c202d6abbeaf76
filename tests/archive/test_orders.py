"""What went into a study, by what it was for."""

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Spending, Spent


def design(name: str, origin: str) -> Design:
    return Design(name=name, label=name, origin=origin, graph=name, flops=10)


FOUND = design("trial-0001", "search")
MATCHED = design("trial-0000", "matched")
PUBLISHED = design("resnet20", "published")


def test_every_training_is_counted_once_under_what_it_was_for():
    spending = Spending.of(
        [
            Spent(JobKey("search", "trial-0000"), MATCHED, 1),
            Spent(JobKey("search", "trial-0001"), FOUND, 20),
            Spent(JobKey("search", "trial-0001", rung=2), FOUND, 300),
            Spent(JobKey("final", "trial-0001", seed=1), FOUND, 4000),
            Spent(JobKey("final", "trial-0000", seed=1), MATCHED, 50_000),
            Spent(JobKey("final", "resnet20", seed=1), PUBLISHED, 600_000),
        ],
        measuring=7_000_000,
    )
    assert spending.search == (20, 0, 300)
    assert spending.finals == 4000
    assert spending.baselines == 650_001
    assert spending.bounded == 654_321
    assert spending.total == 7_654_321


def test_before_any_training_there_is_nothing():
    assert Spending.of([], measuring=0) == Spending()
    assert Spending().total == 0
