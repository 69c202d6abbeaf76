"""How trials divide into short and full trainings, and what they take."""

from dataclasses import replace

import pytest

from archsearch.archive.orders import Length
from archsearch.planning.ladder import Done, Ladder, most
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.fidelities.rungs import Rungs

FULL, SHORT = Length(4800, 48), Length(400, 4)  # twelve times as long


def ladder(*, done: Done = Done()) -> Ladder:  # noqa: B008  it is frozen
    return Ladder(full=FULL, short=SHORT, flops=10, scheme=Rungs(4), done=done)


def test_short_trainings_pay_for_full_ones():
    # The matched baseline once twelve were tried, a candidate for every 36 of the others, but one at least.
    expected = {0: 0, 1: 0, 2: 1, 11: 1, 12: 2, 37: 2, 73: 3, 109: 4}
    assert {trials: ladder().promotions(trials) for trials in expected} == expected
    assert ladder().spent(73) == 3 * 10 * (73 * 400 + 3 * 4800)


def test_each_of_several_budgets_has_full_trainings_of_its_own():
    two = replace(ladder(), budgets=2)
    assert [two.promotions(trials) for trials in (22, 23, 24, 73, 74)] == [2, 3, 4, 4, 4]


def test_what_an_earlier_process_did_is_not_done_again():
    half = ladder(done=Done(trials=40, promotions=2))
    assert half.promotions(33) == 1
    assert half.spent(33) == 3 * 10 * (33 * 400 + 4800)


def test_trials_of_one_length_are_begun_and_ended_together():
    plain = Ladder(full=FULL, short=None, flops=10, scheme=MedianPruning(4))
    assert plain.spent(5) == 3 * 10 * 5 * 4800
    assert plain.seconds(5, first_s=7.0, full_s=7.0, workers=2) == 21.0


def test_full_trainings_share_the_workers_with_short_ones():
    assert ladder().seconds(73, first_s=2.0, full_s=24.0, workers=1) == 73 * 2 + 3 * 24
    assert ladder().seconds(73, first_s=2.0, full_s=24.0, workers=2) == 73 + 3 * 12
    # But one is as long as it is.
    assert ladder().seconds(12, first_s=2.0, full_s=24.0, workers=100) == 26.0


@pytest.mark.parametrize(("bound", "trials"), [(-1, 0), (0, 0), (9.9, 9), (10, 10), (99, 10)])
def test_the_most_that_fit(bound, trials):
    assert most(10, cost=float, bound=bound) == trials
