"""Every space that is installed keeps to the contract; spaces that do not are caught."""

import pytest

from archsearch.errors import ArchsearchError
from archsearch.rules.registry import load_rules
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.space.registry import find_space, load_spaces
from archsearch.testing.space_case import SpaceCase
from archsearch.testing.toy_space import ToySpace


class TestOurs(SpaceCase):
    draws = 2

    @pytest.fixture(autouse=True, params=sorted(load_spaces()))
    def _of_each(self, request):
        self.space = find_space(request.param)


class TestUnion(SpaceCase):
    draws = 2
    space = find_space("vgg,resnext,nin")

    def test_it_has_a_name_a_title_and_rules_that_there_are(self):
        assert self.space.name == "vgg,resnext,nin"
        assert self.space.relaxable <= set(load_rules())


class TestToy(SpaceCase):
    """A third party's test: this long."""

    space = ToySpace()
    input = (8, 8, 1)
    classes = 3
    flops = 1_000_000


class Sound(ToySpace):
    name = "sound"


class Shouting(ToySpace):
    name = "Shouting Space"


class Lawless(ToySpace):
    rules = ("no-such-rule",)


class Narrowing(ToySpace):
    def tiers(self, request):
        (tier,) = super().tiers(request)
        return [tier, (IntKnob("depth", 2, 3), *tier[1:])]


class Doubtful(ToySpace):
    def tiers(self, request):
        (tier,) = super().tiers(request)
        return [(*tier[:2], ChoiceKnob("bias", (True, True)))]


class Strange(ToySpace):
    def classic(self, knobs, request):
        return {"depth": 99, "kernel": 3, "bias": True}


class MadeUp(ToySpace):
    def widths(self, knobs, request, base, pick):
        return {
            name: width + 1 for name, width in super().widths(knobs, request, base, pick).items()
        }


class Fixed(ToySpace):
    def widths(self, knobs, request, base, pick):
        return super().widths(knobs, request, 16, pick)


class Chatty(ToySpace):
    def label(self, knobs, request):
        return "two\nlines"


@pytest.mark.parametrize(
    ("space", "test"),
    [
        (Shouting, "test_it_has_a_name_a_title_and_rules_that_there_are"),
        (Lawless, "test_it_has_a_name_a_title_and_rules_that_there_are"),
        (Narrowing, "test_tiers_have_the_same_knobs_and_the_last_reaches_furthest"),
        (Doubtful, "test_knobs_have_values_that_json_brings_back"),
        (Strange, "test_the_classic_is_a_member"),
        (MadeUp, "test_every_width_is_picked_and_grows"),
        (Fixed, "test_every_width_is_picked_and_grows"),
        (Chatty, "test_labels_and_notes_can_be_shown"),
    ],
)
def test_what_breaks_the_contract_fails(space, test):
    def case(space):
        return type("Case", (TestToy,), {"space": space()})()

    getattr(case(Sound), test)()
    with pytest.raises((AssertionError, ArchsearchError)):
        getattr(case(space), test)()
