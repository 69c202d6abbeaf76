"""What a profile's plot shows, and that it is a picture."""

import struct
import xml.etree.ElementTree as ET

import pytest

from archsearch.errors import UserError
from archsearch.ir.tracer import Tracer
from archsearch.readings.cost import cost
from archsearch.readings.plot import MOST_BARS, format_bytes, plot_profile, profile_bars
from archsearch.space.registry import find_baseline


def flat(depth, name="flat"):
    """A network whose layers have no stages in their names."""
    net = Tracer(name, (32, 32, 3))
    x = net.input
    for i in range(depth):
        x = net.relu(net.conv(x, 8, kernel=3))
        x = net.max_pool(x, kernel=2) if i in {5, 11} else x
    return net.finish(net.dense(net.global_avg_pool(x), 10))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "resnet50", "wrn_16_8"])
def test_the_bars_add_up(name):
    graph = find_baseline(name).build()
    profile, total = profile_bars(graph), cost(graph)
    assert sum(bar.flops for bar in profile.bars) == profile.flops == total.flops
    assert sum(bar.params for bar in profile.bars) == profile.params == total.params
    memory = sum(bar.activation_bytes for bar in profile.bars)
    assert memory == profile.activation_bytes == total.activation_bytes


def test_many_stages_are_summed_by_resolution():
    profile = profile_bars(flat(20))
    assert [bar.label for bar in profile.bars] == ["32×32", "16×16", "8×8", "head"]
    assert sum(bar.flops for bar in profile.bars) == cost(flat(20)).flops
    assert len(profile_bars(flat(3)).bars) <= MOST_BARS


def test_the_lectures_lesson_for_alexnet():
    bars = profile_bars(find_baseline("alexnet").build()).bars
    assert max(bars, key=lambda bar: bar.activation_bytes).label == "conv1"
    assert max(bars, key=lambda bar: bar.params).label == "fc6"
    assert max(bars, key=lambda bar: bar.flops).label == "conv2"


def test_a_png(tmp_path):
    graphs = [find_baseline("alexnet").build(), flat(20, name="a $name$ with <odd> letters")]
    path = plot_profile(graphs, tmp_path / "two.png")
    head = path.read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:24])
    assert head.startswith(b"\x89PNG")
    assert width == 1650
    assert height > 700


def test_an_svg_has_text_and_is_the_same_each_time(tmp_path):
    graph = find_baseline("vgg16").build()
    one = plot_profile([graph], tmp_path / "one.svg").read_bytes()
    assert one == plot_profile([graph], tmp_path / "two.svg").read_bytes()
    texts = "".join(ET.fromstring(one).itertext())
    for text in ("vgg16", "15.5G  FLOPs", "138M  parameters", "109 MB  activation memory", "89 %"):
        assert text in texts


def test_what_cannot_be_drawn(tmp_path):
    with pytest.raises(UserError, match=r"\.png, \.svg"):
        plot_profile([flat(2)], tmp_path / "plot.jpeg")
    with pytest.raises(UserError, match="no network"):
        plot_profile([], tmp_path / "plot.png")
    with pytest.raises(UserError, match="cannot be written"):
        plot_profile([flat(2)], tmp_path / "missing" / "plot.png")


def test_bytes_are_written_as_the_lecture_does():
    assert format_bytes(64 * 56 * 56 * 4) == "784 KB"
    assert format_bytes(5) == "5 B"
    assert format_bytes(1023 * 1024) == "1023 KB"
    assert format_bytes(3 * 2**30) == "3 GB"
