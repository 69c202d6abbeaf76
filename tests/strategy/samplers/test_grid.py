"""Settings as places on a grid."""

from random import Random

from archsearch.space.knobs import ChoiceKnob, IntKnob, RisingKnob
from archsearch.strategy.samplers.grid import Grid

GRID = Grid(
    (
        IntKnob("depth", 2, 6),
        ChoiceKnob("kernel", (1, 3, 5)),
        ChoiceKnob("bias", (True, False)),
        RisingKnob("only", (8,)),
        ChoiceKnob("family", ("b", "a")),
    )
)


def test_places_are_settings():
    knobs = {"depth": 4, "kernel": 5, "bias": False, "only": 8, "family": "a"}
    assert GRID.place(knobs) == (2, 2, 1, 0, 1)
    assert GRID.knobs((2, 2, 1, 0, 1)) == knobs
    assert GRID.place({**knobs, "bias": 0}) is None
    assert GRID.ordered == (True, True, False, True, False)
    assert GRID.rows([(2, 2, 1, 0, 1)]).tolist() == [[0.5, 1, 1, 0, 1]]


def test_changed_places_differ_in_so_many_knobs_that_have_a_choice():
    rng = Random(0)
    for count, differ in ((1, 1), (2, 2), (9, 4)):
        for _ in range(30):
            place = GRID.drawn(rng)
            changed = GRID.changed(place, rng, knobs=count)
            assert GRID.place(GRID.knobs(changed)) == changed
            assert sum(a != b for a, b in zip(place, changed, strict=True)) == differ
