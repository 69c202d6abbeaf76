from archsearch.space.knobs import ChoiceKnob
from archsearch.strategy.pairing import Member, breaks, differences, pairs_of


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
