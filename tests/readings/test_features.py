"""Features of a network against values worked out by hand and against published ones."""

from math import log2

import pytest

from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.readings.features import LEVELS, features
from archsearch.space.registry import find_baseline
from tests.networks import everything, resnext_like, vgg_like


def test_values_of_a_small_network_by_hand():
    net = Tracer("n", (8, 8, 3))
    x = net.relu(net.batch_norm(net.conv(net.input, 4, kernel=3)))  # 8·8·9·3·4 = 6912
    y = net.conv(x, 4, kernel=3, groups=2)  # 8·8·9·4·4/2 = 4608
    x = net.add(x, y)
    x = net.conv(x, 16, kernel=1, stride=2)  # 4·4·4·16 = 1024
    found = features(net.finish(net.dense(net.global_avg_pool(x), 10)))  # 160
    flops = 6912 + 4608 + 1024 + 160
    assert 2 ** found["log_params"] == pytest.approx(108 + 8 + 72 + 64 + 170)
    elements = 4 * 256 + 256 + 256 + 16 + 10  # four maps of one unit, then add, 1×1, pool, scores
    assert 2 ** found["log_activation_bytes"] == pytest.approx(4 * elements)
    assert found["log_depth"] == log2(1 + 4)
    assert found["log_layers"] == log2(1 + 3)
    assert found["short_way"] == 3 / 4
    assert found["mean_way"] == (3 + 4) / 2 / 4
    assert found["log_ways"] == log2(2) / 3
    assert (found["added"], found["stacked"], found["pooled"]) == (1 / 3, 0, 1 / 3)
    assert found["normalized"] == 1 / 3
    assert found["windowed_share"] == pytest.approx((6912 + 4608) / flops)
    assert found["dense_share"] == pytest.approx(160 / flops)
    assert found["log_cardinality"] == pytest.approx(4608 / flops)
    assert found["log_path_width"] == pytest.approx(
        (6912 * log2(3) + 4608 * log2(2) + 1024 * log2(4)) / flops
    )
    assert found["log_base_width"] == 2
    assert found["log_widening"] == 2
    assert found["log_receptive_field"] == log2(5 / 8)
    assert found["flops_share0"] == pytest.approx((6912 + 4608) / flops)
    assert found["flops_share1"] == pytest.approx(1024 / flops)
    assert [found[f"layers_share{level}"] for level in range(LEVELS)] == [2 / 3, 1 / 3, 0, 0, 0, 0]


def test_values_of_published_networks():
    resnet50 = features(find_baseline("resnet50").build())
    assert 2 ** resnet50["log_params"] == pytest.approx(25.557e6, rel=1e-4)  # torchvision
    assert 2 ** resnet50["log_depth"] == pytest.approx(1 + 50)
    assert 2 ** resnet50["log_receptive_field"] * 224 == pytest.approx(427)
    assert resnet50["log_widening"] == log2(2048 / 64)
    vgg16 = features(find_baseline("vgg16").build())
    assert 2 ** vgg16["log_depth"] == pytest.approx(1 + 16)
    assert vgg16["short_way"] == 1
    assert vgg16["dense_share"] == pytest.approx(123.6e6 / 15.47e9, rel=1e-3)


@pytest.mark.parametrize("graph", [resnext_like(), vgg_like(), everything(1), everything(2)])
def test_totals_are_those_of_the_cost_and_names_are_the_same(graph):
    found = features(graph)
    assert 2 ** found["log_params"] == pytest.approx(cost(graph).params)
    assert 2 ** found["log_activation_bytes"] == pytest.approx(cost(graph).activation_bytes)
    assert list(found) == list(features(vgg_like()))


def test_what_layers_are_called_changes_nothing():
    def written(scope: str):
        net = Tracer("n", (8, 8, 3))
        with net.scope(scope):
            x = net.conv(net.input, 4, kernel=3, name=scope)
        return features(net.finish(net.dense(net.global_avg_pool(x), 2)))

    assert written("stage1") == written("anything")


def test_auxiliary_classifiers_are_left_out():
    def written(auxiliary: bool):
        net = Tracer("n", (8, 8, 3))
        x = net.conv(net.input, 4, kernel=3)
        if auxiliary:
            with net.training_only("aux"):
                net.auxiliary(net.dense(net.flatten(x), 2))
        return features(net.finish(net.dense(net.global_avg_pool(x), 2)))

    assert written(True) == written(False)
