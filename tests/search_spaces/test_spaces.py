"""What the spaces promise beyond their budget (tests/space/test_solve.py): shapes, doubling, freed rules."""

import re
import subprocess
import sys
from itertools import pairwise
from random import Random

import pytest

from archsearch.errors import BudgetError, UserError
from archsearch.ir.codec import content_hash, from_json, to_json
from archsearch.readings.cost import cost, training_only
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import find_space, load_spaces
from archsearch.space.solve import sample, solve
from archsearch.space.standing import find_breaches, standing
from archsearch.units import format_count

SPACES = sorted(load_spaces())
SIZES = {32: 50_000_000, 64: 150_000_000, 224: 1_000_000_000}
RELAXABLE = [(name, rule) for name in SPACES for rule in sorted(find_space(name).relaxable)]


def request(side, *, relax=(), flops=None, channels=3):
    size = (side, side, channels)
    budget = Budget.cap(flops or SIZES[side], size)
    return Request(size, 10, budget, frozenset(relax))


def first(name, side=32, **knobs):
    """A candidate with these knobs, the rest the classic's."""
    space, asked = find_space(name), request(side)
    return solve(space, {**space.classic_knobs(asked), **knobs}, asked)


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("side", SIZES)
def test_no_map_shrinks_to_nothing_and_json_brings_it_back(name, side):
    for candidate in sample(find_space(name), request(side), 4, seed=side):
        graph = candidate.graph
        assert all(side >= 1 for node in graph for side in node.shape)
        assert graph.nodes[-1].shape == (10,)
        assert len({node.name for node in graph}) == len(graph)
        assert from_json(to_json(graph)) == graph


@pytest.mark.parametrize(
    "name", [name for name in SPACES if "channel-doubling" in find_space(name).rules]
)
def test_channels_double_from_stage_to_stage_up_to_rounding(name):
    for candidate in sample(find_space(name), request(224), 20, seed=2):
        main = _MAIN.get(name, [f"stage{s}" for s in range(1, 6)])
        widths = [candidate.widths[key] for key in main if key in candidate.widths]
        assert len(widths) > 1
        for before, after in pairwise(widths):
            # Each is within 6 % of its exact value, or half a channel.
            off = max(0.06 * before / 0.94, 0.5) * 2 + max(0.06 * after / 0.94, 0.5)
            assert abs(after - 2 * before) <= off, candidate.widths


_MAIN = {
    "fractal": [f"stage{s}_1" for s in range(1, 5)],
    "inception": [f"three{s}" for s in range(1, 4)],
    "inception_resnet": ["added2", "added3"],
    "squeezenet": [f"wide{s}" for s in range(1, 4)],
    "wrn": [f"inner{s}" for s in range(1, 5)],
    "mobilenet": [f"stage{s}" for s in range(1, 6)],
}


# --- freed rules -------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rule"), RELAXABLE)
def test_a_freed_rule_becomes_knobs_and_the_budget_still_fills(name, rule):
    space = find_space(name)
    held, freed = request(224), request(224, relax=[rule])
    before = {k.name: set(k.values()) for k in space.knobs(held)}
    after = {k.name: set(k.values()) for k in space.knobs(freed)}
    assert before != after
    assert all(values <= after[knob] for knob, values in before.items())
    rng = Random(4)
    for _ in range(12):
        candidate = solve(space, draw(space.knobs(freed), rng), freed)
        assert candidate.fill >= 0.95
        assert candidate.cost == cost(candidate.graph)


def test_labels_tell_what_freed_knobs_say():
    space, asked = find_space("vgg"), request(32, relax=["channel-doubling", "3x3-stacks"])
    knobs = {
        **space.classic_knobs(asked),
        **{f"multiplier{s}": m for s, m in zip(range(2, 6), (1.0, 1.5, 2.0, 2.5), strict=True)},
        **{f"kernel{s}": k for s, k in zip(range(1, 6), (3, 5, 7, 3, 3), strict=True)},
    }
    held = space.label(knobs, asked)
    label = solve(space, knobs, asked).label
    assert label.startswith(held)
    assert set(label.removeprefix(held).split()) == {
        "multiplier", "1-1.5-2-2.5", "kernel", "3-5-7-3-3",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("side", "flops"), [(32, 20), (32, 125), (64, 60), (224, 400), (224, 4000)]
)
@pytest.mark.parametrize(("name", "rule"), RELAXABLE)
def test_the_matched_baseline_is_one_network_whatever_is_freed(name, rule, side, flops):
    space = find_space(name)
    held, freed = (request(side, flops=flops * 10**6, relax=r) for r in ((), [rule]))
    try:
        baseline = solve(space, space.classic_knobs(held), held)
    except BudgetError:
        pytest.skip("out of reach")
    found = solve(space, space.classic_knobs(freed), freed)
    assert content_hash(found.graph) == content_hash(baseline.graph)
    assert found.obeyed == ((rule,) if rule in space.rules or rule in _family_rules(found) else ())
    assert rule not in found.holds


def _family_rules(candidate):
    """Of the union, those of the family that was chosen."""
    family = candidate.knobs.get("family")
    return find_space(family).relaxable if family else ()


@pytest.mark.parametrize(("name", "rule"), RELAXABLE)
def test_a_held_setting_gives_the_same_network_where_the_rule_is_freed(name, rule):
    space, held, freed = find_space(name), request(32), request(32, relax=[rule])
    rng = Random(9)
    defaults = space.classic_knobs(freed)
    for _ in range(4):
        knobs = draw(space.knobs(held), rng)
        before = solve(space, knobs, held)
        after = solve(space, {**defaults, **knobs}, freed)
        assert content_hash(before.graph) == content_hash(after.graph)
        assert set(before.holds) - {rule} == set(after.holds)


@pytest.mark.parametrize(("name", "rule"), RELAXABLE)
def test_what_the_budget_cannot_pay_of_a_freed_rule_is_left_out_and_said(name, rule):
    space, asked = find_space(name), request(32, flops=20_000_000, relax=[rule])
    try:
        knobs = {k.name: k.values() for k in space.knobs(asked)}
    except BudgetError:
        pytest.skip("out of reach")
    if name == "lecture":
        return
    left_out = space.left_out(asked)
    for freedom in space.freedoms(asked)[rule]:
        name = freedom.knob.name
        assert set(knobs[name]) | set(left_out.get(name, ())) == set(freedom.knob.choices)
        assert not set(knobs[name]) & set(left_out.get(name, ()))


@pytest.mark.parametrize("name", [name for name in SPACES if name != "lecture"])
def test_every_rule_can_be_freed_or_says_why_not(name):
    space = find_space(name)
    assert set(space.rules) == space.relaxable | set(space.unfreed)
    assert not space.relaxable & set(space.unfreed)
    for rule, freedoms in space.freedoms(request(32)).items():
        names = [freedom.knob.name for freedom in freedoms]
        assert len(set(names)) == len(names), rule
        own = {knob.name: knob for knob in space.knobs(request(32))}
        for freedom in freedoms:
            # A knob of its own says what the rule asks for; another one has more values than before.
            assert (freedom.held is None) == (freedom.knob.name in own)
            assert set(freedom.held_values(own)) < set(freedom.knob.choices)


def test_freed_rules_do_what_they_say():
    def drawn(name, rule, **knobs):
        space, asked = find_space(name), request(32, relax=[rule], flops=125_000_000)
        return solve(space, {**space.classic_knobs(asked), **knobs}, asked)

    breaks = {
        ("resnet", "bottleneck-ratio"): {"block": "bottleneck1"},
        ("resnet", "identity-shortcut"): {"shortcut": "projection"},
        ("resnext", "cardinality"): {"cardinality": 16},
        ("resnext", "resnext-width"): {"cardinality": 4, "path_factor": 2.0},
        ("densenet", "dense-concatenation"): {"bottleneck": 0},
        ("squeezenet", "fire-module"): {"share": 0.75},
        ("se", "squeeze-excitation"): {"reduction": 1},
        ("mobilenet_v2", "linear-bottleneck"): {"projection": "relu6"},
        ("nin", "global-average-pooling-head"): {"head": "fc"},
        ("inception", "1x1-bottleneck"): {"reduced": False},
        ("vgg", "3x3-stacks"): {"kernel2": 5},
        ("vgg", "channel-doubling"): {"multiplier3": 1.0},
        ("stochastic_depth", "stochastic-depth"): {"decay": "uniform"},
    }
    for (name, rule), knobs in breaks.items():
        candidate = drawn(name, rule, **knobs)
        assert {f.rule for f in find_breaches(candidate.graph, [rule])} == {rule}, (name, rule)
        assert candidate.obeyed == ()
        assert not standing(candidate).findings
    # What a network does not use, no check can find: these are told by their knobs.
    full = drawn("mobilenet", "depthwise-separable", convolution="full")
    assert all(n.op.groups == 1 for n in full.graph if n.op.kind == "conv")
    plain = drawn("resnet", "bn-after-conv", batch_norm=False)
    assert "batch_norm" not in {n.op.kind for n in plain.graph}
    assert all(n.op.bias for n in plain.graph if n.op.kind == "conv")
    assert full.obeyed == plain.obeyed == ()


def test_freeing_a_rule_that_is_not_held_says_which_can_be():
    with pytest.raises(
        UserError, match=r"vgg holds no rule 'cardinality'; .*: 3x3-stacks, channel-doubling"
    ):
        find_space("vgg").knobs(request(32, relax=["cardinality"]))
    with pytest.raises(
        UserError, match=r"densenet cannot free its rule 'pre-activation': what a .*"
    ):
        find_space("densenet").knobs(request(32, relax=["pre-activation"]))
    with pytest.raises(UserError, match="lecture holds no rule 'nonsense'"):
        find_space("lecture").knobs(request(32, relax=["nonsense"]))


def test_larger_kernels_see_what_their_stacks_saw():
    from archsearch.readings.receptive_field import receptive_field

    space, asked = find_space("vgg"), request(224, relax=["3x3-stacks"], flops=4_000_000_000)
    classic = {**space.classic_knobs(asked), "depth5": 5, "depth4": 4, "head": "gap"}
    fields = set()
    for kernel in (3, 5, 7):
        knobs = {**classic, **{f"kernel{i}": kernel for i in range(1, 6)}}
        graph = solve(space, knobs, asked).graph
        fields.add(receptive_field(graph))
        assert {n.op.kernel[0] for n in graph if n.op.kind == "conv"} <= {3, kernel}
    assert len(fields) == 1


def test_plain_stacks_have_no_additions():
    space, asked = find_space("resnet"), request(32, relax=["identity-shortcut"])
    for activation in ("pre", "post"):
        knobs = {**space.classic_knobs(asked), "shortcut": "none", "activation": activation}
        kinds = {node.op.kind for node in solve(space, knobs, asked).graph}
        assert "add" not in kinds


# --- single families ---------------------------------------------------------------------------


def test_inceptions_auxiliary_heads_cost_nothing():
    with_heads, without = (first("inception", 224, auxiliary=value) for value in (True, False))
    assert with_heads.cost.flops == without.cost.flops
    assert len(with_heads.graph.auxiliary) == 2
    assert training_only(with_heads.graph)
    assert not without.graph.auxiliary


def test_stochastic_depth_decays_linearly_unless_freed():
    graph = first("stochastic_depth", survival=0.8).graph
    survivals = [node.op.survival for node in graph if node.op.kind == "drop_path"]
    assert survivals[-1] == 0.8
    assert all(a > b for a, b in pairwise(survivals))
    space, asked = find_space("stochastic_depth"), request(32, relax=["stochastic-depth"])
    knobs = {**space.classic_knobs(asked), "decay": "uniform", "survival": 0.8}
    graph = solve(space, knobs, asked).graph
    assert {n.op.survival for n in graph if n.op.kind == "drop_path"} == {0.8}


def test_one_fractal_column_has_no_joins_to_drop_at():
    labels = [first("fractal", columns=n, drop_path=0.15).label for n in (1, 2)]
    assert labels[0].startswith("1 column ")
    assert "drop" not in labels[0]
    assert labels[1].startswith("2 columns ")
    assert labels[1].endswith(" drop 0.15")


def test_fractal_columns_double_the_depth():
    from archsearch.readings.receptive_field import receptive_field

    # A stage of c columns is 2^(c−1) 3×3 convolutions deep: four stages at jumps 1, 2, 4, 8, and the stem.
    for columns in (1, 2, 3):
        graph = first("fractal", columns=columns).graph
        pools = 1 + 2 + 4
        wanted = 1 + 2 + 2 * 2 ** (columns - 1) * (1 + 2 + 4 + 8) + pools
        assert receptive_field(graph) == wanted


def test_densenets_growth_rate_is_one_up_to_rounding():
    for candidate in sample(find_space("densenet"), request(32), 30):
        rates = [w for name, w in candidate.widths.items() if name.startswith("growth")]
        assert max(rates) - min(rates) <= candidate.multiple


def test_gates_shrink_to_the_reduction():
    candidate = first("se", 224, reduction=8)
    for s in range(1, 5):
        wanted = candidate.widths[f"stage{s}"] / 8
        assert abs(candidate.widths[f"squeezed{s}"] - wanted) <= max(1, 0.13 * wanted)


def test_mobilenets_spatial_convolutions_are_depthwise():
    for name in ("mobilenet", "mobilenet_v2"):
        graph = first(name, 224).graph
        spatial = [n for n in graph if n.op.kind == "conv" and n.op.kernel != (1, 1)][1:]
        assert all(n.op.groups == n.shape[2] for n in spatial)


# --- the union ---------------------------------------------------------------------------------


def test_the_union_reaches_every_family_and_records_its_knobs():
    space, asked = find_space("lecture"), request(224)
    knobs = {knob.name: knob for knob in space.knobs(asked)}
    later = {"regnet", "efficientnet"}  # than the lecture
    assert set(knobs["family"].values()) == set(SPACES) - {"lecture"} - later
    for family in knobs["family"].values():
        chosen = {**space.classic_knobs(asked), "family": family}
        candidate = solve(space, chosen, asked)
        own = candidate.notes["family_knobs"]
        assert set(own) == {k.name for k in find_space(family).knobs(asked)}
        twin = solve(find_space(family), own, asked)
        assert twin.graph.nodes == candidate.graph.nodes
        assert candidate.label == f"{family} {twin.label}"


def test_the_union_leaves_out_families_beyond_the_budget():
    space = find_space("lecture")
    asked = request(224, flops=100_000_000)
    families = {knob.name: knob for knob in space.knobs(asked)}["family"].values()
    assert "lenet" not in families
    assert "mobilenet" in families
    assert all(c.fill >= 0.9 for c in sample(space, asked, 40))


def test_families_beyond_the_budget_are_named_with_what_reaches_them():
    space = find_space("vgg,inception_resnet")
    (remark,) = space.remarks(request(32, flops=5_000_000))
    low, _ = find_space("inception_resnet").reach(request(32))
    assert remark.startswith("5.00M FLOPs are beyond the reach of inception_resnet (")
    assert f"({format_count(low)} to " in remark
    assert space.remarks(request(32, flops=50_000_000)) == ()


def test_spaces_separated_by_commas_are_one_with_the_family_as_a_knob():
    space = find_space("vgg, resnext")
    assert (space.name, space.title) == ("vgg,resnext", "vgg and resnext, the family itself a knob")
    assert find_space("vgg,resnext") is space
    families = {candidate.label.split()[0] for candidate in sample(space, request(32), 20)}
    assert families == {"vgg", "resnext"}
    classic = solve(space, space.classic_knobs(request(32)), request(32))
    assert classic.label.startswith("vgg ")
    assert (
        classic.title == classic.label
    )  # which says the family; a space of one family adds its name
    alone = first("vgg")
    assert alone.title == f"vgg {alone.label}"


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ("vgg,vgg", "space 'vgg' is there twice; name each one once"),
        ("vgg,", "spaces 'vgg,' have a comma too many; write vgg"),
        ("vgg,,wrn", "spaces 'vgg,,wrn' have a comma too many; write vgg,wrn"),
        (
            "vgg,lecture",
            "lecture is a union of families already; name families of their own: lenet, vgg",
        ),
        ("vgg,resnxt", "no space is named 'resnxt'; did you mean resnext?"),
    ],
)
def test_names_that_make_no_union_are_refused(names, says):
    with pytest.raises(UserError, match=re.escape(says)):
        find_space(names)


def test_importing_every_family_loads_nothing_heavy():
    code = (
        "import sys, search_spaces.lecture, search_spaces.googlenet; "
        "print(*{m.partition('.')[0] for m in sys.modules})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "keras", "tensorflow", "optuna", "mlflow", "matplotlib"} & set(loaded)
