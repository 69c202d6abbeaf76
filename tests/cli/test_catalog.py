"""One space in detail, candidates with the words of their labels, and checking what was drawn."""

import io
import json
from random import Random

import pytest

import archsearch
from archsearch.api import USUAL_INPUT
from archsearch.cli import main
from archsearch.data.sources.digits import Digits
from archsearch.errors import UserError
from archsearch.report.catalog import rule_rows
from archsearch.report.tables import legend
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import draw
from archsearch.space.registry import find_space, load_spaces


def lines(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def facts(capsys, *arguments):
    return json.loads(lines(capsys, "spaces", *arguments, "--json"))


def test_one_space_in_detail(capsys):
    found = facts(capsys, "resnext", "--flops", "20M")
    assert found["input"] == [32, 32, 1]
    assert found["budget"] == [19_000_000, 20_000_000]
    knobs = {knob["name"]: knob["values"] for knob in found["knobs"]}
    space = find_space("resnext")
    asked = Request((32, 32, 1), 10, Budget.cap(20_000_000, (32, 32, 1)))
    assert knobs == {knob.name: list(knob.values()) for knob in space.knobs(asked)}
    # Where the ranges end: what comes next costs more than there is, and this does not.
    assert found["wider_from"] > 20_000_000
    assert any(set(values) - set(knobs[name]) for name, values in found["wider"].items())
    beyond = f"{found['wider_from'] / 1e6 + 0.1:.1f}M"
    after = {k["name"]: k["values"] for k in facts(capsys, "resnext", "--flops", beyond)["knobs"]}
    assert all(after[name] == values for name, values in found["wider"].items())
    assert found["classic"]["label"].startswith("2-2-2 G4")
    assert 0.95 <= found["classic"]["fill"] <= 1
    rules = {rule["name"]: rule for rule in found["rules"]}
    assert set(rules) == set(space.rules)
    assert "within 6%" in rules["channel-doubling"]["tolerance"]
    assert rules["resnext-width"]["formula"] == "9Gc² + 8GCc − 17C² = 0"
    assert rules["resnext-width"]["freed"] == {"path_factor": [0.5, 0.75, 1.0, 1.5, 2.0]}
    assert found["example"]["knobs"].keys() == knobs.keys()
    shown = lines(capsys, "spaces", "resnext", "--flops", "20M")
    for text in ("8 parallel paths", "wider from", "9Gc² + 8GCc − 17C² = 0", "path_factor"):
        assert text in shown


def test_freed_rules_and_what_the_budget_cannot_pay_are_shown(capsys):
    found = facts(capsys, "resnext", "--flops", "20M", "--relax", "resnext-width")
    assert found["left_out"] == {"path_factor": [0.5, 0.75]}
    held = {rule["name"]: rule["held"] for rule in found["rules"]}
    assert held == {name: name != "resnext-width" for name in find_space("resnext").rules}
    shown = lines(capsys, "spaces", "resnext", "--flops", "20M", "--relax", "resnext-width")
    assert "cannot pay 0.5, 0.75" in shown
    shown = lines(
        capsys,
        "sample",
        "--space",
        "resnext",
        "--flops",
        "20M",
        "--relax",
        "resnext-width",
        "-n",
        "9",
    )
    assert "this budget cannot pay path_factor 0.5, 0.75" in shown
    assert "path_factor 1 " in shown
    assert "resnext-width" in shown  # those with path_factor 1 obey it


@pytest.mark.parametrize("name", sorted(load_spaces()))
@pytest.mark.parametrize("size", ["32x32x1", "224x224x3"])
def test_every_space_has_its_page(name, size, capsys):
    found = facts(capsys, name, "--input", size)
    low, high = found["reach"]
    assert low <= found["budget"][1] <= high
    for rule in found["rules"]:
        assert bool(rule["freed"]) != bool(rule["unfreed"])
    assert found["title"] in lines(capsys, "spaces", name, "--input", size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["spaces", "resnxt"], "did you mean resnext?"),
        (["spaces", "--flops", "20M"], "are for one space: give its NAME"),
        (["spaces", "resnext", "--flops", "1k"], "resnext reaches"),
        (["spaces", "wrn", "--relax", "widening"], "cannot free its rule 'widening': k is a knob"),
        (["check", "missing.jsonl"], "no baseline is named"),
    ],
)
def test_bad_words_are_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert message in err


@pytest.mark.parametrize("name", [name for name in sorted(load_spaces()) if name != "lecture"])
def test_the_legend_has_every_word_of_the_labels_and_no_other(name):
    space, labels = find_space(name), []
    for size, flops in (((32, 32, 3), 200_000_000), ((224, 224, 3), 2_000_000_000)):
        for relax in ((), *((rule,) for rule in sorted(space.relaxable))):
            asked = Request(size, 10, Budget.cap(flops, size), frozenset(relax))
            knobs, rng = space.knobs(asked), Random(0)
            labels += [space.full_label(draw(knobs, rng), asked) for _ in range(25)]
    assert {word for word, _ in legend(labels, space.words)} == set(space.words)
    assert not legend(["12 nothing"], space.words)


def test_sample_takes_the_images_that_run_has_by_default(capsys):
    assert Digits().items().native == USUAL_INPUT
    assert Digits().items().classes == tuple("0123456789")
    shown = lines(capsys, "sample", "--space", "resnext", "--flops", "20M", "-n", "2")
    assert "8 parallel paths" in shown
    candidate = next(archsearch.sample("resnext", "20M", count=1))
    assert (candidate.graph.input, candidate.graph.classes) == (USUAL_INPUT, 10)


def test_what_sample_prints_is_checked_against_the_rules_it_was_built_to_hold(
    tmp_path, monkeypatch, capsys
):
    words = ("sample", "--space", "vgg", "--flops", "60M", "--input", "64x64x1")
    text = lines(capsys, *words, "-n", "5", "--json")
    first = json.loads(text.splitlines()[0])
    assert first["holds"] == ["3x3-stacks", "channel-doubling"]
    assert (first["obeyed"], first["findings"]) == ([], [])
    path = tmp_path / "candidates.jsonl"
    path.write_text(text)
    assert main(["check", str(path)]) == 0
    assert "5 networks: holds every rule" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    found = json.loads(lines(capsys, "check", "-", "--json"))
    assert [one["findings"] for one in found] == [[]] * 5
    assert found[0]["network"] == f"vgg {first['label']}"
    # A rule by its name is checked whether the space holds it or not.
    dense = [line for line in text.splitlines() if json.loads(line)["label"].endswith("fc")]
    assert dense
    path.write_text("\n".join(dense))
    assert main(["check", str(path), "--rule", "global-average-pooling-head"]) == 1
    (audit,) = archsearch.check(first_of(tmp_path, dense[0]), rules=["global-average-pooling-head"])
    assert [f.rule for f in audit.findings] == ["global-average-pooling-head"]


def first_of(folder, line):
    path = folder / "one.json"
    path.write_text(line)
    return path


def test_a_bent_candidate_is_found_out(tmp_path, capsys):
    text = lines(capsys, "sample", "--space", "vgg", "--flops", "20M", "-n", "1", "--json")
    document = json.loads(text)
    document["graph"] = bent(document["graph"])
    path = tmp_path / "bent.json"
    path.write_text(json.dumps(document))
    assert main(["check", str(path)]) == 1
    assert "[channel-doubling]" in capsys.readouterr().out


def bent(graph):
    """The first stage's convolutions made three times as wide, and all shapes after them."""
    first = next(node for node in graph["nodes"] if node["op"] == "conv")
    width = first["filters"]
    for node in graph["nodes"][1:]:
        if node["shape"][-1] != width or len(node["shape"]) != 3:
            break
        node["shape"] = [*node["shape"][:2], 3 * width]
        if node["op"] == "conv":
            node["filters"] = 3 * width
    return graph


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "standard input holds no candidate"),
        ("{}", "standard input holds no candidate"),
        ("not json", "standard input holds no candidate"),
        ('{"graph": {}, "holds": []}', "line 1: this is no archsearch graph"),
        ('{"graph": {}, "holds": []}\n[]', "line 1: this is no archsearch graph"),
    ],
)
def test_damaged_candidates_are_one_line(text, message, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["check", "-"]) == 2
    assert message in capsys.readouterr().err


def test_a_line_that_is_no_candidate_is_named(tmp_path, capsys):
    text = lines(capsys, "sample", "--space", "vgg", "--flops", "20M", "-n", "2", "--json")
    path = tmp_path / "candidates.jsonl"
    path.write_text(f"{text}[]\n")
    assert main(["check", str(path)]) == 2
    assert "line 3: this is no line of archsearch sample --json" in capsys.readouterr().err
    with pytest.raises(UserError, match="line 3"):
        archsearch.check(path)


def test_rules_say_who_holds_them_and_where_they_can_be_freed():
    rows = {row["name"]: row for row in rule_rows(load_spaces())}
    assert rows["fire-module"]["held_by"] == rows["fire-module"]["freed_in"] == ["squeezenet"]
    assert rows["widening"]["freed_in"] == []
    assert "knob already" in rows["widening"]["unfreed"]["wrn"]
    assert rows["aggressive-stem"]["held_by"] == []
    for row in rows.values():
        assert set(row["held_by"]) == set(row["freed_in"]) | set(row["unfreed"])
    for rule in (
        "bottleneck-ratio", "bn-after-conv", "3x3-stacks", "identity-shortcut", "cardinality",
        "global-average-pooling-head", "dense-concatenation", "fire-module", "squeeze-excitation",
        "depthwise-separable", "linear-bottleneck",
    ):  # fmt: skip
        # efficientnet leaves them to the spaces that its blocks are from.
        held_by = [space for space in rows[rule]["held_by"] if space != "efficientnet"]
        assert rows[rule]["freed_in"] == held_by
