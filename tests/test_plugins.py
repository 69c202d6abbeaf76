"""What any package installs for this one: found, named, refused in words."""

from importlib.metadata import EntryPoint

import pytest

from archsearch import plugins
from archsearch.errors import ArchsearchError, UserError

GROUP = "archsearch.things"


@pytest.fixture
def install(monkeypatch):
    def installed(**values):
        points = [EntryPoint(name, value, GROUP) for name, value in values.items()]
        monkeypatch.setattr(
            plugins,
            "entry_points",
            lambda group, name=None: [p for p in points if name in (None, p.name)],
        )

    return installed


def test_all_are_loaded_by_name(install):
    install(two="math:pi", one="math:e")
    found = plugins.load(GROUP, what="thing", kind=float)
    assert [f"{name}={value:.2f}" for name, value in found.items()] == ["one=2.72", "two=3.14"]


def test_one_is_found_without_loading_others(install):
    install(good="math:pi", broken="no_such_module:X")
    assert plugins.find(GROUP, "good", what="thing") == pytest.approx(3.14159, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("goood", r"no thing is named 'goood'; did you mean good\?"),
        ("zzz", "no thing is named 'zzz'; there are good, other"),
    ],
)
def test_an_unknown_name_gets_the_nearest(install, name, says):
    install(good="math:pi", other="math:e")
    with pytest.raises(UserError, match=says):
        plugins.find(GROUP, name, what="thing")


def test_of_nothing_there_is_none(install):
    install()
    assert plugins.load(GROUP, what="thing") == {}
    with pytest.raises(UserError, match="none is installed"):
        plugins.find(GROUP, "good", what="thing")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("no_such_module:X", "entry point x = no_such_module:X: No module named 'no_such_module'"),
        ("math:no_such_name", "no attribute 'no_such_name'; update or uninstall"),
        ("math:pi", "entry point x = math:pi is no str, but float"),
    ],
)
def test_what_cannot_be_used_is_named(install, value, says):
    install(x=value)
    with pytest.raises(ArchsearchError, match=says):
        plugins.load(GROUP, what="thing", kind=str)
    with pytest.raises(ArchsearchError, match=says):
        plugins.find(GROUP, "x", what="thing", kind=str)


def test_installed_for_real_they_come_from_metadata(tmp_path, monkeypatch):
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{GROUP}]\nmine = theirs:VALUE\n")
    (tmp_path / "theirs.py").write_text("VALUE = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert plugins.load(GROUP, what="thing", kind=int) == {"mine": 42}
    assert plugins.find(GROUP, "mine", what="thing", kind=int) == 42
