"""Budgets as people write them."""

import pytest

from archsearch.errors import UserError
from archsearch.space.budget import Budget, Request, full_fill_from

SMALL, LARGE = (32, 32, 3), (224, 224, 3)


@pytest.mark.parametrize(
    ("text", "size", "low", "high"),
    [
        ("4G", LARGE, 3_800_000_000, 4_000_000_000),
        ("20M", SMALL, 19_000_000, 20_000_000),
        ("10M", SMALL, 9_000_000, 10_000_000),
        ("400M", LARGE, 380_000_000, 400_000_000),
        ("300M", LARGE, 270_000_000, 300_000_000),
        ("3.8G:4.2G", LARGE, 3_800_000_000, 4_200_000_000),
    ],
)
def test_parse(text, size, low, high):
    assert Budget.parse(text, size) == Budget(low, high)


@pytest.mark.parametrize("text", ["", "0", "-4G", "4X", "4G:3G", "1e9", "nan", "4G:", ":"])
def test_what_is_no_budget(text):
    with pytest.raises(UserError):
        Budget.parse(text, SMALL)


def test_full_fill_starts_where_promised():
    assert full_fill_from(32 * 32) == pytest.approx(20e6)
    assert full_fill_from(224 * 224) == pytest.approx(400e6)


def test_a_request_makes_sense():
    with pytest.raises(UserError, match="at least 2"):
        Request(SMALL, 1, Budget(1, 2))
    with pytest.raises(UserError, match="at least 8x8"):
        Request((4, 4, 3), 2, Budget(1, 2))
