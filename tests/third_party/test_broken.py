"""Plug-ins that cannot be used are told in one line, whatever they are, before anything is kept."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from archsearch.cli import main
from tests.third_party import install

RUN = ("run", "--space", "vgg", "--flops", "20M")
ASKED = {
    "archsearch.samplers": (*RUN, "--sampler", "{name}"),
    "archsearch.fidelities": (*RUN, "--fidelity", "{name}"),
    "archsearch.engines": (*RUN, "--engine", "{name}"),
    "archsearch.trackers": (*RUN, "--tracking-uri", "{name}:runs"),
    "archsearch.spaces": ("run", "--space", "{name}", "--flops", "20M"),
    "archsearch.rules": ("check", "lenet5", "--rule", "{name}"),
}
_AS_OTHERS = pytest.mark.skipif(
    find_spec("archsearch.testing.rule_case") is None,
    reason="spaces and rules are not loaded as every plug-in is",
)
EVERY = pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, marks=_AS_OTHERS) if group[11:] in ("spaces", "rules") else group
        for group in ASKED
    ],
)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the command that uses a group's plug-in of a name; return its status and its one line."""
    monkeypatch.chdir(tmp_path)

    def asked(group: str, name: str) -> tuple[int, str]:
        status = main([word.format(name=name) for word in ASKED[group]])
        out, told = capsys.readouterr()
        assert out == ""
        assert told.startswith("archsearch: ")
        assert told.count("\n") == 1
        assert "a fault of archsearch" not in told
        assert not (tmp_path / "mlruns").exists()
        return status, told

    return asked


@EVERY
def test_an_unknown_name_is_the_users_mistake(group, ask):
    status, told = ask(group, "mine")
    assert status == 2
    assert "'mine'" in told


@EVERY
@pytest.mark.parametrize(
    ("value", "why"),
    [("no_such_module:X", "No module named 'no_such_module'"), ("os:sepp", "sepp")],
)
def test_what_does_not_load_is_its_packages_fault(group, value, why, ask, tmp_path, monkeypatch):
    install(tmp_path / "broken", monkeypatch, {group: {"mine": value}})
    status, told = ask(group, "mine")
    assert status == 1
    assert f"mine = {value}" in told
    assert why in told


@EVERY
def test_what_is_something_else_is_its_packages_fault(group, ask, tmp_path, monkeypatch):
    install(tmp_path / "odd", monkeypatch, {group: {"mine": "os:sep"}})
    status, told = ask(group, "mine")
    assert status == 1
    assert "mine = os:sep is no " in told


@EVERY
def test_two_of_one_name_are_refused(group, ask, tmp_path, monkeypatch):
    # All rules are loaded before one is looked for.
    value = "archsearch.rules.families.vgg:RULES" if group == "archsearch.rules" else "os:sep"
    for package in ("one", "other"):
        install(tmp_path / package, monkeypatch, {group: {"mine": value}})
    status, told = ask(group, "mine")
    assert status == 1
    assert "two packages install a " in told
    assert "'mine'" in told
