"""Some of many, spread evenly."""

import pytest

from archsearch.data.spreading import spread


@pytest.mark.parametrize(
    ("count", "most", "chosen"),
    [
        (0, 5, []),
        (1, 5, [0]),
        (3, 5, [0, 1, 2]),
        (9, 3, [0, 4, 8]),
        (9, 1, [0]),
        (5, 5, [0, 1, 2, 3, 4]),
    ],
)
def test_from_the_first_to_the_last(count, most, chosen):
    assert spread(count, most).tolist() == chosen
