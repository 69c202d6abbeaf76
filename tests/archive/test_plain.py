"""Values without their classes: the same as the standard library's, and JSON takes them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from archsearch.archive.plain import plain
from archsearch.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Leaf:
    value: float | None = None


class Pair(NamedTuple):
    low: Leaf
    high: int


@dataclass(frozen=True, slots=True)
class Tree:
    leaves: tuple[Leaf, ...] = (Leaf(0.5), Leaf())
    by_name: Any = field(default_factory=lambda: {"a": [Leaf(1.0)], "b": {"c": Leaf(2.0)}})
    words: frozenset[str] = frozenset({"x"})
    place: Path = Path("/x")
    pair: Pair = field(default_factory=lambda: Pair(Leaf(1.0), 2))


def test_it_is_what_the_standard_library_makes():
    for value in (Tree(), Tree(leaves=()), Recipe()):
        assert plain(value) == asdict(value)
    assert plain([Leaf(3.0), "a", None]) == [{"value": 3.0}, "a", None]


def test_a_mapping_of_any_kind_becomes_a_dictionary():
    assert json.dumps(plain(Tree(by_name=MappingProxyType({"a": Leaf(1.0)})).by_name)) == (
        '{"a": {"value": 1.0}}'
    )


def test_what_it_returns_changes_with_no_value_of_it():
    found = plain(tree := Tree())
    found["by_name"]["b"]["c"]["value"] = 7.0
    assert tree.by_name["b"]["c"] == Leaf(2.0)
