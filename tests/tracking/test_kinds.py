from pathlib import Path

import pytest

from archsearch.errors import ArchsearchError, UserError
from archsearch.tracking.kinds import (
    TRACKERS,
    check_address,
    delete_runs,
    find_kind,
    open_tracker,
)
from archsearch.tracking.mlflow_kind import MLFLOW
from archsearch.tracking.records import StudyRecord, TrialRecord
from archsearch.tracking.server import start_ui
from tests.third_party import install

JSONL = {TRACKERS: {"jsonl": "tests.tracking.jsonl_tracker:JSONL"}}


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "databricks",  # MLflow's word for a server named in its own settings
        "sqlite:///runs.db",
        "SQLITE:///runs.db",
        "http://h:5000",
        "https://h",
        "postgresql://me@h/db",
        "postgresql+psycopg2://me@h/db",
        "mysql+pymysql://me@h/db",
        "file:///runs",
        "file-plugin:runs",  # a store that MLflow was taught by a package of its own
    ],
)
def test_mlflow_opens_what_it_knows(uri: str | None, tmp_path, monkeypatch) -> None:
    install(tmp_path / "taught", monkeypatch, {"mlflow.tracking_store": {"file-plugin": "os:sep"}})
    assert find_kind(uri) is MLFLOW


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (
            "htp://host:5000",
            r"nothing opens htp://.*: no tracker is named 'htp'; did you mean http\?",
        ),
        ("localhost:5000", "no tracker is named 'localhost'; there are .*http, https"),
        ("http://[::1", r"http://\[::1 is no address: Invalid IPv6 URL"),
        ("nonsense://me:secret@h", r"nothing opens nonsense://me:\*\*\*@h: .*; there are"),
    ],
)
def test_addresses_that_nothing_opens(uri: str, why: str, tmp_path: Path) -> None:
    for ask in (
        lambda: check_address(uri, home=tmp_path / "home"),
        lambda: open_tracker(uri, home=tmp_path / "home", warn=print),
        lambda: delete_runs("s", uri=uri, home=tmp_path / "home"),
        lambda: start_ui(tmp_path / "home", tracking_uri=uri),
    ):
        with pytest.raises(UserError, match=why) as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "--tracking-uri" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_third_partys_tracker_is_found_by_its_scheme(tmp_path, monkeypatch) -> None:
    install(tmp_path / "jsonl", monkeypatch, JSONL)
    uri = f"jsonl:{tmp_path / 'runs.jsonl'}"
    check_address(uri, home=tmp_path)
    with pytest.raises(UserError, match="there is no folder"):
        check_address(f"jsonl:{tmp_path / 'none' / 'runs.jsonl'}", home=tmp_path)
    for name in ("a", "b"):
        with open_tracker(uri, home=tmp_path, warn=print) as tracker:
            tracker.start_study(StudyRecord(name=name, space="vgg", budget="20M"))
            tracker.start_trial(TrialRecord(key="t", label="t"))
    assert delete_runs("a", uri=uri, home=tmp_path) == 2
    said = (tmp_path / "runs.jsonl").read_text()
    assert '"study": "b"' in said
    assert '"study": "a"' not in said
    with pytest.raises(UserError, match=r"runs\.jsonl is no MLflow store: it has no such page"):
        start_ui(tmp_path, tracking_uri=uri)


def test_broken_packages_are_named(tmp_path, monkeypatch) -> None:
    points = {"gone": "no_such_module:X", "odd": "os:sep", "sqlite": "os:sep"}
    install(tmp_path / "broken", monkeypatch, {TRACKERS: points})
    with pytest.raises(ArchsearchError, match="gone = no_such_module:X: No module named"):
        find_kind("gone:x")
    with pytest.raises(ArchsearchError, match="odd = os:sep is no TrackerKind"):
        find_kind("odd:x")
    with pytest.raises(ArchsearchError, match="two packages install a tracker named 'sqlite'"):
        find_kind("sqlite:///x.db")
