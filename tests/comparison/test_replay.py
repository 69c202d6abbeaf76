"""Two spaces of a table of real trainings, compared: SciPy and the table itself know the answer."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from archsearch.comparison.spaces import Distributions, distributions
from tests.comparison.test_spaces import study

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FLOPS = "3M"
LEAST = 12


@pytest.fixture(scope="module")
def errors() -> dict[str, np.ndarray]:
    """Validation errors of each space's draws at one budget, after the longest trainings' first seed."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        from own_table import slices
    finally:
        sys.path.remove(str(BENCHMARKS))
    found = {}
    for (space, flops), networks in slices(BENCHMARKS / "tabular" / "cifar10.jsonl").items():
        if flops == FLOPS and space in {"nin", "mobilenet"}:
            longest = max(max(one.accuracies) for one in networks)
            drawn = [one.accuracies[longest][0] for one in networks if one.number]
            found[space] = 1 - np.array(drawn)
    assert all(len(values) >= LEAST for values in found.values()), found
    return found


def compared(nin, mobilenet) -> Distributions:
    found = distributions([study("mobilenet", mobilenet), study("nin", nin)])
    assert found is not None
    return found


def test_the_figures_are_the_tables_own_and_scipys(errors):
    nin, mobilenet = errors["nin"], errors["mobilenet"]
    found = compared(nin, mobilenet)
    assert [one.space for one in found.members] == ["nin", "mobilenet"]
    for one, values in zip(found.members, (nin, mobilenet), strict=True):
        assert one.n == len(values)
        assert one.worst == values.max()
        assert one.median.value == pytest.approx(np.median(values))
        known = stats.ecdf(values).cdf
        # Of errors that are equal the last step is the share of all up to it.
        assert dict(one.steps) == pytest.approx(
            dict(zip(known.quantiles, known.probabilities, strict=True))
        )
    (pair,) = found.contrasts
    known = stats.ks_2samp(nin, mobilenet, method="exact")
    assert pair.test.statistic == pytest.approx(known.statistic)
    assert pair.median.value == pytest.approx(np.median(mobilenet) - np.median(nin))
    assert pair.test.p_value == pytest.approx(known.pvalue)
    # What another test of SciPy's tells is told.
    assert stats.mannwhitneyu(nin, mobilenet, alternative="less").pvalue < 0.01
    assert pair.verdict == "s-nin errs less"


def test_half_of_each_space_tells_what_the_whole_does(errors):
    """Replayed: the interval of halves that were drawn by chance holds the whole tables' difference."""
    nin, mobilenet = errors["nin"], errors["mobilenet"]
    truth = np.median(mobilenet) - np.median(nin)
    rng = np.random.default_rng(0)
    held = right = 0
    for _ in range(40):
        halves = [
            rng.choice(values, len(values) // 2, replace=False) for values in (nin, mobilenet)
        ]
        (pair,) = compared(*halves).contrasts
        held += pair.median.low <= truth <= pair.median.high
        right += pair.one == "s-nin"
    assert right == 40
    assert held >= 36  # of a stated 95 %; halves of a finite table are nearer to it than that


def test_two_halves_of_one_space_are_no_verdict(errors):
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(40):
        mixed = rng.permutation(errors["nin"])
        cut = len(mixed) // 2
        found = distributions([study("a", mixed[:cut]), study("b", mixed[cut:])])
        assert found is not None
        told += not found.contrasts[0].verdict.startswith("no verdict")
    assert told <= 4  # of 40, at a level of 5 %
