"""A third party's space and rule keep to the contracts, and the command line holds networks to the rule."""

import json
from pathlib import Path

import pytest

from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from tests.third_party import install_example
from tests.third_party.example.archsearch_example.rule import RULES
from tests.third_party.example.archsearch_example.space import STRIDED
from tests.third_party.test_example import SMALL, SPACE, Archsearch, archsearch, folder

__all__ = ["archsearch", "folder"]  # fixtures

RuleCase = pytest.importorskip("archsearch.testing.rule_case").RuleCase
SpaceCase = pytest.importorskip("archsearch.testing.space_case").SpaceCase


class TestStrided(SpaceCase):
    space = STRIDED
    input = (16, 16, 3)
    classes = 4
    flops = 3_000_000

    @pytest.fixture(autouse=True)
    def _with_its_rule(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install_example(tmp_path / "site")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))


class TestStridedConvolution(RuleCase):
    (rule,) = RULES

    def good(self) -> list[Graph]:
        return [network(pooled=False)]

    def bad(self) -> list[Graph]:
        return [network(pooled=True)]


def network(*, pooled: bool) -> Graph:
    net = Tracer("small", (16, 16, 3))
    x = net.relu(net.conv(net.input, 8, kernel=3))
    x = net.max_pool(x, kernel=2) if pooled else net.relu(net.conv(x, 8, kernel=3, stride=2))
    return net.finish(net.dense(net.global_avg_pool(x), 4))


def test_its_rule_is_listed_and_checked(archsearch: Archsearch, tmp_path: Path) -> None:
    rows = {row["name"]: row for row in json.loads(archsearch("rules", "--json").stdout)}
    assert "All-CNN" in str(rows["strided-convolution"]["source"])
    assert "channel-doubling" in rows
    found = archsearch("check", "vgg11", "--rule", "strided-convolution", "--json", status=1)
    assert len(json.loads(found.stdout)) == 5  # VGG's five pools
    [line] = archsearch("sample", *SPACE, *SMALL, "-n", "1", "--json").stdout.splitlines()
    (tmp_path / "drawn.json").write_text(json.dumps(json.loads(line)["graph"]))
    archsearch("check", "drawn.json", "--rule", "strided-convolution")
