"""Where networks have normalization, by what their papers say of it."""

import pytest

from archsearch.readings.normalization import normalized_part
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_baseline, find_space
from archsearch.space.solve import solve

SIZE = (32, 32, 3)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("alexnet", "nothing"),  # its local response normalization has no statistics
        ("vgg16", "nothing"),
        ("squeezenet1_1", "nothing"),
        ("resnet50", "whole"),
        ("preact_resnet110_cifar", "whole"),
        ("densenet121", "whole"),
        ("seresnet50", "whole"),  # dense layers of its gates are beside the way
        ("mobilenet_v2", "whole"),
    ],
)
def test_published_networks(name, part):
    assert normalized_part(find_baseline(name).build(classes=10)) == part


def test_vggs_dense_layers_come_after_its_normalization():
    vgg = find_space("vgg")
    request = Request(SIZE, 10, Budget.parse("5M", SIZE))
    classic = vgg.classic_knobs(request)
    assert normalized_part(solve(vgg, classic, request).graph) == "body"
    pooled = solve(vgg, {**classic, "head": "gap"}, request).graph
    assert normalized_part(pooled) == "whole"


@pytest.mark.parametrize("name", ["nin", "squeezenet"])
def test_an_average_of_scores_is_no_layer_of_its_own(name):
    space = find_space(name)
    request = Request(SIZE, 10, Budget.parse("5M", SIZE))
    knobs = {**space.classic_knobs(request), "batch_norm": True}
    assert normalized_part(solve(space, knobs, request).graph) == "whole"
