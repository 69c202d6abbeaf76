"""A table of our own is made over several sittings, by several processes, and read as searches replay it."""

import json
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import pytest

from archsearch.ir.codec import content_hash, from_json

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = ("cells", "measure", "trainings", "own_table", "tables", "make_table", "teaching")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield Namespace(**{name: import_module(name) for name in NAMES})
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture
def options(tmp_path):
    return Namespace(
        out=tmp_path / "made.jsonl", images=Path("photos.npz"), folder=tmp_path, train=20, val=30,
        spaces=["lenet", "nin"], flops=["3M", "6M"], candidates=3, epochs=[1, 2], seeds=3,
        repeated=2, part=(0, 1),
    )  # fmt: skip


@pytest.fixture
def trained(bench, monkeypatch):
    """What was asked to train: (content hash, images, seed), in its order."""
    asked = []

    def train(graph, folder, *, seed, images, val_every, changes):
        asked.append((content_hash(from_json(graph))[:16], images, seed))
        value = 0.3 + len(graph) / 1e5 + images / 1e4 + seed / 1e3
        return {
            "status": "complete", "val": value, "test": None, "curve": [value], "loss": [1.23456],
            "train_s": 1.0,
        }  # fmt: skip

    monkeypatch.setattr(bench.make_table, "trained", train)
    return asked


def test_spaces_take_turns_and_any_beginning_has_all_of_them(bench, options):
    found = bench.make_table.places(options)
    assert [(p.space, p.flops, p.number) for p in found[:6]] == [
        ("lenet", "3M", 0), ("nin", "3M", 0), ("lenet", "6M", 0), ("nin", "6M", 0),
        ("lenet", "3M", 1), ("nin", "3M", 1),
    ]  # fmt: skip
    assert len(found) == len(set(found)) == 2 * 2 * 3


def test_each_network_has_all_lengths_and_some_further_seeds(bench, options, trained):
    options.flops = ["3M"]
    bench.make_table.measure(options)
    first = trained[:6]  # the classic of the first space: a repeated one
    assert {graph for graph, *_ in first} == {first[0][0]}
    assert [(images, seed) for _, images, seed in first] == [
        (20, 0), (20, 1), (20, 2), (40, 0), (40, 1), (40, 2),
    ]  # fmt: skip
    assert len(trained) == len(set(trained)) == 2 * (6 + 2 + 6)


def test_what_is_there_is_not_trained_again_wherever_it_was_cut_off(bench, options, trained):
    bench.make_table.measure(options)
    whole, lines = list(trained), options.out.read_text().splitlines()
    for kept in (1, 4, 9, len(lines) // 2, len(lines) - 1):
        options.out.write_text("\n".join(lines[:kept]) + "\n")
        trained.clear()
        bench.make_table.measure(options)
        again = sorted(options.out.read_text().splitlines())
        assert again == sorted(lines)
        assert len(trained) == len(whole) - sum('"of"' in line for line in lines[:kept])


def test_parts_share_the_work(bench, options, trained):
    for part in range(3):
        options.part = (part, 3)
        bench.make_table.measure(options)
    assert len(trained) == len(set(trained))
    options.part = (0, 1)
    before = len(trained)
    bench.make_table.measure(options)
    assert len(trained) == before


def test_a_table_is_not_gone_on_with_by_another_recipe(bench, options, trained):
    bench.make_table.measure(options)
    options.train = 25
    with pytest.raises(SystemExit, match="another train; give another --out"):
        bench.make_table.measure(options)


def test_it_is_read_as_tables_to_search_in(bench, options, trained):
    bench.make_table.measure(options)
    with options.out.open("a") as file:
        file.write('{"of": "cut o')
    found = bench.own_table.slices(options.out)
    assert {key: len(those) for key, those in found.items()} == {
        (space, flops): 3 for space in ("lenet", "nin") for flops in ("3M", "6M")
    }
    classic = found["nin", "6M"][0]
    assert classic.number == 0
    assert set(classic.accuracies) == {1, 2}
    assert classic.mean(2) == pytest.approx(classic.accuracies[2][0] + 0.001, abs=1e-4)
    table = bench.tables.own(options.out, "nin-6M")
    assert len(table.places) == 3
    assert table.values[0] == tuple(classic.accuracies[2].values())
    described = table.described[table.places[0]].features
    kept = {name: value for name, value in described.items() if value}
    assert kept == pytest.approx(dict(classic.features), rel=1e-3)
    lines = list(bench.own_table.summary(options.out))
    assert len(lines) == 2 + 4 * 2
    assert lines[2].startswith("| lenet | 3M | 1 | 3 | ")
    assert "| 0.1 (2) | 1.00 |" in lines[2]  # sd of three seeds of two networks; one ranking


def test_rows_are_json_of_few_digits(bench, options, trained):
    bench.make_table.measure(options)
    rows = [json.loads(line) for line in options.out.read_text().splitlines()]
    assert rows[0]["images"] == "photos"
    assert len(rows[0]["recipe"]) == 16
    trainings = [row for row in rows if "of" in row]
    assert trainings[0]["loss"] == [1.235]
    assert all(value for row in rows if "features" in row for value in row["features"].values())


def test_what_a_slice_teaches_is_told_by_who_was_left_out(bench):
    def networks(space, flops, count):
        for number in range(count):
            depth = float(number * 7 % count)
            features = {"depth": depth, "size": float(len(flops))}
            accuracies = {4: {0: 0.2}, 12: {0: 0.3 + 0.01 * depth}}
            yield bench.own_table.Network(space, flops, number, {}, features, accuracies, 1.0)

    keys = [("nin", "3M"), ("nin", "10M"), ("lenet", "3M"), ("lecture", "3M")]
    found = {key: list(networks(*key, 9)) for key in keys}
    lines = [line.split(" | ") for line in bench.teaching.table(found)][2:]
    assert {(line[0].strip("| "), line[2], line[3]) for line in lines} == {
        ("nin 3M", "the same space, other budgets", "9"),
        ("nin 3M", "other spaces, this budget", "9"),
        ("nin 10M", "the same space, other budgets", "9"),
        ("nin 10M", "other spaces, other budgets", "9"),
        ("lenet 3M", "other spaces, this budget", "9"),
        ("lenet 3M", "other spaces, other budgets", "9"),
    }
    assert all(line[4].startswith("+1.00 (+1.00 to +1.00)") for line in lines)
