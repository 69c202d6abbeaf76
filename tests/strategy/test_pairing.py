from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.space.knobs import ChoiceKnob
from archsearch.strategy.pairing import Member, accuracy_of, breaks, differences, pairs_of
from archsearch.training.job import Outcome


def member(number: int, *, keeps: bool, depth: int = 2, norm: bool = True, accuracy=0.9) -> Member:
    knobs = {"depth": depth, "norm": norm}
    return Member(number=number, knobs=knobs, keeps=keeps, accuracy=accuracy)


def test_pairs_are_neighbours_that_differ_in_the_freed_knobs_alone():
    held, freed = member(0, keeps=True), member(1, keeps=False, norm=False, accuracy=0.85)
    alone = member(2, keeps=True)
    other = member(3, keeps=False, norm=False, depth=5)
    later = [member(6, keeps=True), member(7, keeps=False, norm=False, accuracy=None)]
    found = pairs_of([later[1], freed, held, alone, other, later[0]], freed={"norm"})
    assert found == [(held, freed), tuple(later)]
    assert differences(found) == [100 * (0.9 - 0.85)]


def test_a_gap_between_numbers_makes_no_pair():
    assert pairs_of([member(0, keeps=True), member(2, keeps=False)], freed={"norm"}) == []


def test_whether_anything_within_reach_breaks_the_rule():
    assert breaks([ChoiceKnob("norm", (True, False))], {"norm": (True,)})
    assert not breaks([ChoiceKnob("norm", (True,))], {"norm": (True,)})


def test_what_diverged_has_the_accuracy_of_guessing_and_what_failed_none():
    design = Design(name="trial-0000", label="", origin="search", graph="0", flops=1)
    order = Order(key=JobKey("search", "trial-0000"), design=design, length=Length(1, 1), seed=0)

    def accuracy(**ended):
        outcome = Outcome(key=str(order.key), **ended)
        training = Training(order=order, outcome=outcome)
        trial = Trial(number=0, knobs={}, design=design, trainings=(training,))
        return accuracy_of(trial, guessing=0.1)

    assert accuracy(status="complete", val_accuracy=0.9) == 0.9
    assert accuracy(status="complete", val_accuracy=0.12, stalled=True) == 0.12
    assert accuracy(status="failed", stalled=True) == 0.1
    assert accuracy(status="failed", reason="out of memory") is None
