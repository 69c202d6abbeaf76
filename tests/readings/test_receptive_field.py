"""Receptive fields against published values (Araujo et al. 2019, table 1; the lecture's stacks)."""

import pytest

from archsearch.ir.tracer import Tracer
from archsearch.readings.receptive_field import receptive_field
from archsearch.space.registry import find_baseline


@pytest.mark.parametrize(("name", "pixels"), [("alexnet", 195), ("vgg16", 212), ("resnet50", 427)])
def test_published_values(name, pixels):
    # Araujo et al.: alexnet_v2 195, vgg_16 212, resnet_v1_50 483 with its stride in the 1×1 one layer
    # earlier in each stage; strides in the 3×3 (torchvision) give 427.
    assert receptive_field(find_baseline(name).build()) == pixels


@pytest.mark.parametrize(("depth", "sees"), [(2, 5), (3, 7)])
def test_stacked_3x3_see_what_one_larger_kernel_sees(depth, sees):
    net = Tracer("n", (32, 32, 3))
    x = net.input
    for _ in range(depth):
        x = net.conv(x, 4, kernel=3)
    assert receptive_field(net.finish(net.dense(net.global_avg_pool(x), 2))) == sees


def test_dilation_counts():
    net = Tracer("n", (32, 32, 3))
    x = net.conv(net.input, 4, kernel=3, dilation=2)
    assert receptive_field(net.finish(net.dense(net.global_avg_pool(x), 2))) == 5
