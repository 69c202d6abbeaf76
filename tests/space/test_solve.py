"""Every candidate of every space fills its budget, exactly counted, its rules held up to rounding."""

import re
import statistics
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.errors import BudgetError, UserError
from archsearch.readings.cost import cost
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import find_space, load_spaces
from archsearch.space.solve import sample, solve

SPACES = sorted(load_spaces())
SMALL, LARGE = (32, 32, 3), (224, 224, 3)


def _request(size, text, classes=10):
    return Request(size, classes, Budget.parse(text, size))


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize(
    ("size", "flops"),
    [(SMALL, "20M"), (SMALL, "50M"), (LARGE, "400M"), (LARGE, "1G"), (LARGE, "4G")],
)
def test_every_draw_fills_the_budget(name, size, flops):
    request = _request(size, flops)
    found = list(sample(find_space(name), request, 25, seed=3))
    assert len(found) == 25
    fills = [c.fill for c in found]
    assert min(fills) >= 0.95
    assert max(fills) <= 1
    assert statistics.median(fills) >= 0.98
    for c in found:
        assert c.cost == cost(c.graph)
        assert c.graph.input == size
        assert c.graph.classes == 10
        assert c.multiple in {1, 2, 4, 8}


@pytest.mark.parametrize("name", SPACES)
def test_small_budgets_fill_to_90_percent(name):
    space = find_space(name)
    low, _ = space.reach(_request(SMALL, "20M"))
    for factor in (1.001, 1.3):
        request = Request(SMALL, 10, Budget.cap(int(low * factor), SMALL))
        assert min(c.fill for c in sample(space, request, 25)) >= 0.90


@pytest.mark.parametrize("name", SPACES)
def test_the_form_is_the_cost(name):
    """The quadratic derived from the builder and the finished Graph agree to the FLOP."""
    space, request = find_space(name), _request(SMALL, "60M")
    rng = Random(5)
    for _ in range(20):
        candidate = solve(space, draw(space.knobs(request), rng), request)
        form = space.flops_form(candidate.knobs, request)
        assert form.value(candidate.widths) == pytest.approx(candidate.cost.flops, abs=0.5)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("size", [SMALL, (64, 64, 3), (48, 80, 1), LARGE])
def test_knob_names_are_fixed_and_the_classic_is_in_the_space(name, size):
    space = find_space(name)
    texts = ("400M", "2G") if size == LARGE else ("60M", "1G")
    names = [tuple(k.name for k in space.knobs(_request(size, text))) for text in texts]
    assert names[0] == names[1]
    for text in texts:
        request = _request(size, text)
        solve(space, space.classic_knobs(request), request)


@pytest.mark.parametrize("name", SPACES)
def test_equal_seeds_give_equal_candidates(name):
    request = _request(SMALL, "50M")
    space = find_space(name)
    assert list(sample(space, request, 5, seed=1)) == list(sample(space, request, 5, seed=1))
    assert list(sample(space, request, 5, seed=1)) != list(sample(space, request, 5, seed=2))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(SPACES),
    st.integers(20_000_000, 3_000_000_000),
    st.integers(32, 95),
    st.integers(2, 200),
    st.integers(0, 10**6),
)
def test_any_budget_is_met_or_refused_with_a_way_out(name, flops, side, classes, seed):
    size = (side, side, 3)
    space = find_space(name)
    request = Request(size, classes, Budget.cap(flops, size))
    try:
        knobs = space.knobs(request)
    except BudgetError:  # its message has a test of its own below
        low, high = space.reach(request)
        assert not low <= flops <= high
        return
    candidate = solve(space, draw(knobs, Random(seed)), request)
    assert candidate.cost.flops in request.budget


def test_a_range_means_inside_it():
    request = _request(LARGE, "3.8G:4.2G")
    for c in sample(find_space("resnext"), request, 30):
        assert 3_800_000_000 <= c.cost.flops <= 4_200_000_000


@pytest.mark.parametrize("name", SPACES)
def test_a_range_of_a_few_per_mille_is_met(name):
    request = _request(LARGE, "1.99G:2G")
    for c in sample(find_space(name), request, 8, seed=4):
        assert 1_990_000_000 <= c.cost.flops <= 2_000_000_000


def test_a_range_too_tight_for_whole_channels_is_refused_as_one():
    request = Request(SMALL, 10, Budget(59_999_999, 60_000_000))
    with pytest.raises(BudgetError, match="widen the range"):
        list(sample(find_space("vgg"), request, 3))


def test_out_of_reach_says_the_range_and_the_nearest_budget():
    with pytest.raises(
        BudgetError, match=r"vgg reaches .* to .*, not 3\.00k; try --flops"
    ) as caught:
        find_space("vgg").knobs(_request(SMALL, "3k"))
    nearest = str(caught.value).rsplit(" ", 1)[1]
    assert list(sample(find_space("vgg"), _request(SMALL, nearest), 3))


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("3G:20G", r"3G:19\.\d\dG"),
        ("3.8125G:20G", r"3\.8125G:19\.\d\dG"),
        ("20G", r"19\.\d\dG"),
        ("20G:30G", r"19\.\d\dG"),
        ("1:2", r"3\.\d\d\dM"),
    ],
)
def test_of_a_range_the_part_in_reach_is_suggested(asked, wanted):
    with pytest.raises(BudgetError) as caught:
        find_space("vgg").knobs(_request(SMALL, asked))
    nearest = str(caught.value).rsplit(" ", 1)[1]
    assert re.fullmatch(wanted, nearest)
    assert find_space("vgg").knobs(_request(SMALL, nearest))


def test_knobs_are_checked():
    space, request = find_space("vgg"), _request(SMALL, "20M")
    good = dict(space.classic_knobs(request))
    for bad, message in (
        (good | {"depth1": 9}, "depth1 = 9 is out of range; give 1 to 5"),
        (good | {"speed": 1}, "no knob speed"),
        ({k: v for k, v in good.items() if k != "head"}, "no value for head"),
    ):
        with pytest.raises(UserError, match=message):
            solve(space, bad, request)


@pytest.mark.parametrize("flops", ["20M", "200M"])
def test_vgg_channels_double_up_to_rounding(flops):
    for c in sample(find_space("vgg"), _request(SMALL, flops), 60):
        for i in range(5):
            exact = c.base_width * 2**i
            assert abs(c.widths[f"stage{i + 1}"] - exact) <= max(0.06 * exact, 0.5) + 1e-4


def test_resnext_records_root_and_rounding():
    from archsearch.rules.families.resnext import flops_change, path_width

    for c in sample(find_space("resnext"), _request(LARGE, "4G"), 20):
        for stage in c.notes["resnext_width"]:
            assert stage["exact_root"] == path_width(stage["C"], c.knobs["cardinality"])
            # Both C and c are roundings: of C within 6 %, and c the whole number next to C's exact root.
            assert (
                abs(stage["path_width"] - stage["exact_root"]) <= 0.5 + 0.064 * stage["exact_root"]
            )
            assert stage["block_flops_change"] == flops_change(
                stage["C"], c.knobs["cardinality"], stage["path_width"]
            )
