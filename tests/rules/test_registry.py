"""Rules are found by entry point: this project's in the lecture's order, then third parties'."""

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from types import SimpleNamespace

import pytest

from archsearch import plugins
from archsearch.errors import ArchsearchError, UserError
from archsearch.rules import registry
from archsearch.rules.rule import Rule, Source

LECTURE = (
    "cost-profile", "3x3-stacks", "channel-doubling", "aggressive-stem", "1x1-bottleneck",
    "global-average-pooling-head", "bottleneck-ratio", "identity-shortcut", "bn-after-conv",
    "pre-activation", "widening", "resnext-width", "cardinality", "stochastic-depth",
    "dense-concatenation", "fire-module", "squeeze-excitation", "depthwise-separable",
    "linear-bottleneck", "compound-scaling", "quantised-line",
)  # fmt: skip


def rule(name):
    return Rule(name, "Do.", Source("Net", "Someone 2020", "section 1"), lambda view: ())


@pytest.fixture
def install(monkeypatch):
    """Install values beside what the project has."""

    def installed(**values):
        own = list(entry_points(group=registry.GROUP))
        theirs = [
            SimpleNamespace(name=name, value=f"theirs:{name}", load=lambda value=value: value)
            for name, value in values.items()
        ]
        monkeypatch.setattr(plugins, "entry_points", lambda group: [*theirs, *own])

    return installed


def test_the_projects_own_are_one_entry_in_the_lectures_order():
    assert [point.name for point in entry_points(group=registry.GROUP)] == [registry.OWN]
    assert tuple(registry.load_rules()) == LECTURE


def test_third_parties_come_after_by_the_names_of_their_entry_points(install):
    two = (rule("two-b"), rule("two-a"))
    install(zeta=(rule("one"),), alpha=two)
    assert tuple(registry.load_rules()) == (*LECTURE, "two-b", "two-a", "one")
    assert registry.find_rule("two-a") is two[1]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ((rule("3x3-stacks"),), "two packages install a rule named '3x3-stacks'"),
        (
            ("3x3-stacks",),
            "entry point theirs of archsearch.rules has '3x3-stacks', which is no Rule",
        ),
        (rule("alone"), "entry point theirs = theirs:theirs is no tuple, but Rule"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(install, value, says):
    install(theirs=value)
    with pytest.raises(ArchsearchError, match=says):
        registry.load_rules()


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(
        UserError, match=r"no rule is named 'fire-modul'; did you mean fire-module\?"
    ):
        registry.find_rule("fire-modul")


THEIRS = """
from dataclasses import replace
from archsearch.rules.rule import Breach, Rule, Source

def _look(view):
    for index in view.convs:
        if view.filters(index) % 8:
            filters = max(8, round(view.filters(index) / 8) * 8)
            yield Breach(
                index, f"{view.filters(index)} filters", f"{filters} fill whole registers",
                changed={index: replace(view.conv(index), filters=filters)},
            )

RULES = (
    Rule("whole-registers", "Let each width be a multiple of 8.", Source("ours", "us", "page 1"), _look),
)
"""


def test_a_package_beside_this_one_is_found_and_checked_by_the_command_line(tmp_path):
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\ntheirs = their_rules:RULES\n")
    (tmp_path / "their_rules.py").write_text(THEIRS)

    def ran(*arguments):
        paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        return subprocess.run(
            [sys.executable, "-m", "archsearch", *arguments, "--json"],
            check=False,  # findings are status 1
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
        )

    assert [row["name"] for row in json.loads(ran("rules").stdout)] == [*LECTURE, "whole-registers"]
    checked = ran("check", "lenet5", "--rule", "whole-registers")
    assert checked.returncode == 1, checked.stderr
    assert [f["found"] for f in json.loads(checked.stdout)] == ["6 filters"]
