"""Spaces and baselines are found by entry point, third parties' too."""

from importlib.metadata import EntryPoint

import pytest

from archsearch import plugins
from archsearch.errors import ArchsearchError, UserError
from archsearch.space import registry


def test_unknown_names_get_the_nearest():
    with pytest.raises(UserError, match=r"no space is named 'resnxt'; did you mean resnext\?"):
        registry.find_space("resnxt")
    with pytest.raises(UserError, match="did you mean resnet50"):
        registry.find_baseline("resnet5O")
    with pytest.raises(UserError, match=r"there are .*vgg"):
        registry.find_space("qqqq")


def _install(monkeypatch, *points):
    monkeypatch.setattr(
        plugins,
        "entry_points",
        lambda group, name=None: [p for p in points if name in (None, p.name)],
    )


def test_a_third_partys_space_is_found(monkeypatch):
    _install(monkeypatch, EntryPoint("theirs", "search_spaces.vgg:VGG", registry.SPACES))
    assert list(registry.load_spaces()) == ["theirs"]


def test_a_broken_plugin_is_named(monkeypatch):
    _install(monkeypatch, EntryPoint("theirs", "no_such_module:X", registry.SPACES))
    with pytest.raises(ArchsearchError, match="theirs = no_such_module:X"):
        registry.load_spaces()


def test_two_of_a_name_are_refused(monkeypatch):
    point = EntryPoint("vgg", "search_spaces.vgg:VGG", registry.SPACES)
    _install(monkeypatch, point, point)
    for read in (registry.load_spaces, lambda: registry.find_space("vgg")):
        with pytest.raises(ArchsearchError, match="two packages install a space named 'vgg'"):
            read()


def test_two_baselines_of_a_name_are_refused(monkeypatch):
    _install(
        monkeypatch,
        EntryPoint("ours", "search_spaces.vgg:BASELINES", registry.BASELINES),
        EntryPoint("theirs", "search_spaces.vgg:BASELINES", registry.BASELINES),
    )
    with pytest.raises(ArchsearchError, match="two packages install a baseline named 'vgg11'"):
        registry.load_baselines()


def test_what_is_no_space_is_refused(monkeypatch):
    _install(monkeypatch, EntryPoint("x", "search_spaces.vgg:STAGES", registry.SPACES))
    for read in (registry.load_spaces, lambda: registry.find_space("x")):
        with pytest.raises(ArchsearchError, match="is no Space"):
            read()
