"""What is shipped is what the table teaches, of features that networks have."""

import json
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from archsearch.planning.shipped import NAME, shipped
from archsearch.rules.registry import load_rules
from archsearch.strategy.samplers.descriptions import described
from archsearch.surrogate.prior import LinearPrior
from tests.networks import vgg_like

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TABLE = BENCHMARKS / "tabular" / "cifar10.jsonl"
MODULES = ("teaching", "own_table", "measure")


@pytest.fixture
def teaching(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("teaching")
    for name in MODULES:
        sys.modules.pop(name, None)


def test_it_is_what_the_table_teaches(teaching, tmp_path):
    slices = teaching.slices(TABLE)
    found = {key: those for key, those in slices.items() if len(those) >= teaching.LEAST}
    teaching.ship(found, tmp_path / "prior.json")
    made = json.loads((tmp_path / "prior.json").read_text())
    assert made["networks"] == shipped().studies[NAME] > 200
    assert made["weights"] == pytest.approx(dict(shipped().weights), rel=1e-2, abs=1e-3)


def test_it_ranks_the_networks_of_each_slice(teaching):
    prior = LinearPrior(shipped().weights)
    slices = teaching.slices(TABLE).values()
    for those in (one for one in slices if len(one) >= teaching.LEAST):
        values = teaching.accuracies(those, 12)
        expected = prior.expected([one.features for one in those])
        assert kendalltau(expected, values).statistic > 0.2


def test_its_features_are_those_of_networks():
    names = described(vgg_like(), tuple(load_rules().values()))
    weights = shipped().weights
    assert set(weights) <= set(names)
    assert all(np.isfinite(list(weights.values())))
