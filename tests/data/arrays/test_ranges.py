import numpy as np
import pytest

from archsearch.data.arrays.ranges import (
    BYTES,
    UNIT,
    WORDS,
    Range,
    choose_range,
    said,
    spread_of,
    together,
)


def test_the_ends_become_0_and_255_and_the_middle_is_rounded():
    assert Range(-1, 1).to_bytes(np.array([-1, 0, 1.0])).tolist() == [0, 128, 255]
    assert Range(-1, 1).to_bytes(np.array([-9, 9.0])).tolist() == [0, 255]


def test_16_bits_are_rounded_as_integer_arithmetic_does():
    values = np.arange(65536)
    assert np.array_equal(WORDS.to_bytes(values), (values * 255 + 32767) // 65535)


@pytest.mark.parametrize("usual", [UNIT, BYTES, WORDS])
def test_a_usual_range_is_chosen_where_the_values_fill_it(usual):
    values = np.linspace(usual.low, usual.high, 5000)
    assert choose_range(spread_of(values), (UNIT, BYTES, WORDS)) == usual


def test_values_that_are_few_by_nature_are_not_stretched():
    assert choose_range(spread_of(np.arange(17.0)), (UNIT, BYTES)) == BYTES
    assert choose_range(spread_of(np.zeros(9)), (UNIT, BYTES)) == UNIT


def test_a_sample_goes_through_every_column_and_channel():
    values = np.tile(np.arange(64.0), (20_000, 1)).reshape(-1, 8, 8, 1)
    assert len(np.unique(spread_of(values, 1000).sample)) == 64


def test_several_arrays_are_one_to_the_range():
    whole = together([spread_of(np.linspace(0, 3, 999)), spread_of(np.linspace(-2, 1, 999))])
    scale = choose_range(whole, (UNIT, BYTES))
    assert scale == Range(-2, 3)
    assert said(whole, scale, "floats") == (
        "floats from -2 to 3 became 0 to 255, a range found over all images"
    )
