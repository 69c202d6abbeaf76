"""The README is true: its tables are what is installed, its commands exist and run."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

from archsearch.cli import main

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("archsearch ")
]
NEEDS_A_STUDY = {"run", "resume", "ui", "export", "leaderboard", "delete", "compare", "report"}


def test_the_tables_are_what_is_installed():
    filled = runpy.run_path(str(ROOT / "docs" / "readme.py"))["filled"]
    assert filled(TEXT) == TEXT, "run: python docs/readme.py"


def test_it_shows_both_commands_and_every_subcommand():
    from archsearch.cli.app import _COMMANDS

    assert "make demo" in TEXT
    assert "make test" in TEXT
    assert {shlex.split(command)[1] for command in COMMANDS} == set(_COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[1] not in NEEDS_A_STUDY])
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status = main(shlex.split(command)[1:])
    assert status in ({0, 1} if command.split()[1] == "check" else {0})
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.split()[1] in NEEDS_A_STUDY])
def test_options_of_the_others_exist(command, capsys):
    words = shlex.split(command)[1:]
    assert main([words[0], "--help"]) == 0
    shown = capsys.readouterr().out
    for word in words[1:]:
        if word.startswith("-"):
            assert word in shown


def test_relative_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
