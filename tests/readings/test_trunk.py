from archsearch.ir.tracer import Tracer
from archsearch.readings.trunk import stage_ends
from archsearch.space.registry import find_baseline
from tests.networks import resnext_like, vgg_like


def ends(graph):
    return [(node.name, node.shape[0]) for node in stage_ends(graph)]


def test_a_stage_ends_before_its_map_shrinks():
    assert [side for _, side in ends(vgg_like())] == [16, 8, 4]
    assert ends(vgg_like())[0][0] == "relu1"


def test_what_a_shortcut_goes_around_ends_no_stage():
    # The first block of stage 2 has maps of 16 pixels inside, before its strided convolution.
    found = ends(resnext_like())
    assert [side for _, side in found] == [16, 8]
    assert found[0][0].startswith("stage1.")
    assert found[1][0].startswith("stage2.")


def test_stages_of_published_networks_end_where_their_papers_say():
    # He et al. 2016, table 1: the outputs of conv1 and of conv2_x to conv5_x.
    graph = find_baseline("resnet50").build((224, 224, 3), 1000)
    assert [side for _, side in ends(graph)] == [112, 56, 28, 14, 7]


def test_a_map_of_one_pixel_and_the_image_are_none():
    net = Tracer("small", (8, 8, 1))
    x = net.global_avg_pool(net.conv(net.input, 4, kernel=3, stride=2), keep_map=True)
    graph = net.finish(net.dense(net.flatten(net.conv(x, 4, kernel=1)), 3))
    assert [side for _, side in ends(graph)] == [4]
