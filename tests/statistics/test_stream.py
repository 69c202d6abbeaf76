"""Figures of values that come one by one, held to Python's own."""

import random
import statistics

import pytest

from archsearch.statistics.stream import Median, Stream


def test_figures_are_those_of_all_values_after_each_of_them():
    rng = random.Random(0)
    values = [
        rng.gauss(4000.0, 0.5) for _ in range(200)
    ]  # a mean that is large beside the deviation
    stream, median = Stream(), Median()
    for count, value in enumerate(values, start=1):
        stream.add(value)
        median.add(value)
        assert len(stream) == len(median) == count
        assert stream.mean == pytest.approx(statistics.fmean(values[:count]), rel=1e-14)
        assert median.value == statistics.median(values[:count])
        if count > 1:
            assert stream.sd == pytest.approx(statistics.stdev(values[:count]), rel=1e-9)


def test_of_none_and_of_one_there_is_no_deviation():
    stream = Stream()
    assert (len(stream), stream.mean, stream.sd) == (0, 0.0, 0.0)
    stream.add(3.0)
    assert (stream.mean, stream.sd) == (3.0, 0.0)
