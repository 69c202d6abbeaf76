import io
import math
import sys

import pytest
from PIL import Image

from archsearch.tracking.curves import learning_curves_png


@pytest.mark.parametrize(
    "history",
    [
        {"loss": {1: 2.0, 2: 1.0}, "val_accuracy": {1: 0.1, 2: 0.5}, "images_per_s": {1: 3.0}},
        {"loss": {1: math.nan, 2: math.inf}},
        {},
    ],
)
def test_curves_are_a_small_picture(
    history: dict[str, dict[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        sys.modules, "matplotlib.pyplot", None
    )  # importing it fails: no global state
    png = learning_curves_png(history, title="a $name\nof `any` kind_")
    assert Image.open(io.BytesIO(png)).size == (800, 320)
    assert len(png) < 60_000
