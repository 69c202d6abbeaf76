"""Every rule of the lecture keeps to the contract, on networks written for it; what does not is caught."""

from dataclasses import replace

import pytest

from archsearch.rules.registry import find_rule, load_rules
from archsearch.testing.rule_case import RuleCase
from search_spaces.efficientnet import mbconv
from tests.rules import test_rules as nets
from tests.rules.test_rules import bottlenecks, network, stages, unit


def kernels(side):
    return lambda net, x: unit(net, unit(net, x, 32), 32, kernel=side)


def stem(stride):
    def write(net, x):
        x = unit(net, unit(net, x, 32, kernel=3, stride=stride), 32, stride=stride)
        x = net.max_pool(net.max_pool(x, kernel=2), kernel=2)
        return unit(net, x, 64)

    return write


def normalised(everywhere):
    def write(net, x):
        y = net.conv(unit(net, x, 16), 16, kernel=3)
        return unit(net, net.relu(net.batch_norm(y) if everywhere else y), 8)

    return write


def projected(project):
    return lambda net, x: nets.residual(net, unit(net, x, 64), 16, 64, project=project)


def narrow_first(width):
    def write(net, x):
        x = net.conv(x, 256, kernel=1)
        y = net.relu(net.conv(x, width, kernel=1)) if width else x
        return net.concat([net.conv(x, 64, kernel=1), net.conv(y, 96, kernel=5)])

    return write


def flat(net, x):
    for width in (8, 8, 64, 64, 64, 64):
        x = net.relu(net.conv(x, width, kernel=3))
    return x


def grouped(inner, outer):
    return bottlenecks(inner, inner, groups=32, outer=outer)


def quantised(*widths_and_depths, group=8):
    def write(net, x):
        for width, depth in widths_and_depths:
            for _ in range(depth):
                x = nets.residual(
                    net, x, width, width, groups=width // group, project=x.channels != width
                )
        return x

    return write


def compound(blocks):
    """A quarter of EfficientNet-B0's widths, for which images of 32 pixels are large enough."""

    def write(net, x):
        for width in (4, 6, 10, 20, 28, 48, 80):
            for b in range(blocks):
                settings = {
                    "hidden": 2 * width,
                    "filters": width,
                    "kernel": 3,
                    "stride": 1,
                    "gate": 2,
                }
                x = mbconv(net, x, add=b > 0, **settings)
        return x

    return write


# By rule: what keeps it, what breaks it.
WRITTEN = {
    "3x3-stacks": (kernels(3), kernels(5)),
    "channel-doubling": (stages(16, 32, 64), stages(16, 32, 32)),
    "aggressive-stem": (stem(2), stem(1)),
    "1x1-bottleneck": (narrow_first(32), nets.naive_inception),
    "bottleneck-ratio": (bottlenecks(16, 16, 16), bottlenecks(16, 64, 16)),
    "identity-shortcut": (projected(False), projected(True)),
    "bn-after-conv": (normalised(True), normalised(False)),
    "pre-activation": (nets.preactivated(), nets.preactivated(post=(1,))),
    "widening": (nets.preactivated(blocks=27), nets.preactivated(blocks=54)),
    "resnext-width": (grouped(128, 256), grouped(256, 256)),
    "cardinality": (grouped(256, 256), grouped(64, 128)),
    "stochastic-depth": (nets.dropped(0.9, 0.8, 0.7, 0.6), nets.dropped(0.5, 0.5, 0.5, 0.5)),
    "dense-concatenation": (
        nets.dense_block(4, 8, bottleneck=True), nets.dense_block(4, 8, bottleneck=False),
    ),
    "fire-module": (nets.fire(16, 64, 64), nets.fire(96, 64, 64)),
    "squeeze-excitation": (nets.gated(4), nets.gated(64)),
    "depthwise-separable": (nets.separable(), nets.separable(2)),
    "linear-bottleneck": (nets.inverted(False), nets.inverted(True)),
    "compound-scaling": (compound(1), compound(2)),
    "quantised-line": (quantised((16, 1), (40, 2), (88, 3)), quantised((16, 3), (40, 2), (48, 2))),
    "cost-profile": (stages(16, 32, 64), flat),
}  # fmt: skip


def heads(net, x):
    return net.flatten(net.max_pool(nets.stem256(net, x), kernel=4))


def graphs(rule):
    if rule == "global-average-pooling-head":

        def dense(net, x):
            return net.dense(net.relu(net.dense(heads(net, x), 64)), 10)

        return network(stages(16, 32)), network(dense, pooled=False)
    side = 128 if rule == "aggressive-stem" else 32
    return tuple(network(write, shape=(side, side, 3)) for write in WRITTEN[rule])


class TestOurs(RuleCase):
    @pytest.fixture(autouse=True, params=sorted(load_rules()))
    def _of_each(self, request):
        self.rule = find_rule(request.param)
        self._good, self._bad = graphs(request.param)

    def good(self):
        return [self._good]

    def bad(self):
        return [self._bad]


class Sound(RuleCase):
    rule = find_rule("3x3-stacks")

    def good(self):
        return [network(kernels(3))]

    def bad(self):
        return [network(kernels(5))]


def shouted(rule):
    return replace(rule, name="3x3 Stacks!")


def endless(rule):
    return replace(rule, statement="Stack")


def orphaned(rule):
    return replace(rule, source=rule.source._replace(section=""))


def unwritten(rule):
    return replace(rule, formula="")


def blind(rule):
    return replace(rule, look=lambda view: ())


def by_name(rule):
    return replace(
        rule, look=lambda view: (b for b in rule.look(view) if view.nodes[b.at].name == "conv2")
    )


def eager(rule):
    return replace(
        rule, look=lambda view: (b._replace(changed={}, edits={}) for b in rule.look(view))
    )


def wordless(rule):
    return replace(rule, look=lambda view: (b._replace(wanted="") for b in rule.look(view)))


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (shouted, "test_it_has_a_name_a_statement_and_a_source"),
        (endless, "test_it_has_a_name_a_statement_and_a_source"),
        (orphaned, "test_it_has_a_name_a_statement_and_a_source"),
        (unwritten, "test_an_equation_is_written_out"),
        (blind, "test_a_network_that_breaks_it_has_findings"),
        (by_name, "test_names_are_never_looked_at"),
        (eager, "test_the_rewritten_network_is_one_for_the_same_images"),
        (eager, "test_following_it_settles_the_finding"),
        (wordless, "test_a_finding_says_where_what_and_what_instead"),
    ],
)
def test_what_breaks_the_contract_fails(broken, test):
    case = Sound()
    getattr(case, test)()
    case.rule = broken(Sound.rule)
    with pytest.raises(AssertionError):
        getattr(case, test)()


def test_a_network_said_to_be_good_that_is_not_fails():
    case = Sound()
    case.good = case.bad
    with pytest.raises(AssertionError, match="keeps the rule: "):
        case.test_a_network_that_keeps_it_has_no_finding()
