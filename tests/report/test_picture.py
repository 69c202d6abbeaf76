"""What a reader needs of a picture: numbers on both axes, names that can be read."""

from itertools import combinations

import pytest

from archsearch.report import picture
from archsearch.report.analysis import Point


def point(label, flops, accuracy, **changes):
    made = {"origin": "search", "params": 100_000, "sd": None, "seeds": 0, "winner": False}
    return Point(name=label, label=label, flops=flops, accuracy=accuracy, **{**made, **changes})


@pytest.fixture
def draw(tmp_path, monkeypatch):
    def drawn(*found):
        kept = []
        monkeypatch.setattr(picture, "_save", lambda figure, path: kept.append(figure))
        picture.draw_complexity(found, tmp_path / "picture.png", title="a study")
        (figure,) = kept
        figure.draw_without_rendering()
        return figure.axes[0]

    return drawn


@pytest.mark.parametrize(
    ("least", "most"),
    [
        (20_000_000, 20_000_000), (20_000_000, 40_600_000), (2_100_000, 9_000_000),
        (2_100_000, 11_000_000), (11_000_000, 95_000_000), (400_000, 5_200_000_000),
    ],
)  # fmt: skip
def test_flops_can_be_read_off_whatever_they_span(draw, least, most):
    axes = draw(point("a", least, 0.9), point("b", most, 0.95))
    low, high = axes.get_xlim()
    assert 0 < low < least <= most < high
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert sum(low <= at <= high and bool(label.get_text()) for at, label in ticks) >= 2


def test_no_accuracy_above_100_percent_is_numbered(draw):
    axes = draw(point("a", 20_000_000, 1.0, sd=0.02, seeds=2), point("b", 20_000_000, 0.2))
    assert max(axes.get_yticks()) == 100
    assert axes.get_ylim()[1] > 100


def test_names_stay_in_the_plot_and_apart(draw):
    axes = draw(
        point("resnext 3-3-5-3 G1 multiplier 2-1.5-2", 19_900_000, 0.99, winner=True),
        point("resnext 3-3-3 G8", 20_000_000, 0.989, origin="matched"),
        point("resnet20_cifar", 40_600_000, 0.985, origin="published", params=300_000),
        point("lenet5", 500_000, 0.7, origin="published"),
    )
    plot = axes.get_window_extent()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 4
    for box in boxes:
        assert plot.x0 <= box.x0 < box.x1 <= plot.x1
        assert plot.y0 <= box.y0 < box.y1 <= plot.y1
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
