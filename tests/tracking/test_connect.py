import os
import shlex
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from archsearch.errors import UserError
from archsearch.tracking.connect import (
    artifact_location,
    check_store,
    open_client,
    reason,
    store_uri,
)


def test_the_store_is_in_the_home_unless_another_is_given(tmp_path: Path) -> None:
    home = tmp_path / "a b ü"
    assert store_uri(home) == f"sqlite:///{home}/mlflow.db"
    assert home.is_dir()
    assert store_uri(home, "http://h") == "http://h"


@pytest.mark.parametrize("name", ["what?", "a#b", "50%", "a\nb"])
def test_homes_that_make_no_database_url_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="choose another --home"):
        store_uri(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be made"):
        store_uri(tmp_path / "file" / "home")


def test_artifacts_of_any_name_have_a_folder_of_their_own(tmp_path: Path) -> None:
    names = ["a/b", "a-b", "../../etc", "\n", "ü" * 300, "a" * 300]
    places = {artifact_location(tmp_path, name) for name in names}
    assert len(places) == len(names)
    for place in places:
        assert place.startswith(f"{(tmp_path / 'artifacts').as_uri()}/")
        assert place.count("/") == (tmp_path / "artifacts").as_uri().count("/") + 1


def test_reasons_are_short() -> None:
    assert reason(OSError("[Errno 111] Connection refused")) == "connection refused"
    assert reason(ValueError()) == "ValueError"
    assert len(reason(ValueError("x " * 1000))) == 160


def test_a_process_killed_while_it_makes_a_store_leaves_none(tmp_path):
    """MLflow's migrations take seconds; a half-made store could not be used again."""
    code = (
        "import sys; from archsearch.tracking.connect import open_client; open_client(sys.argv[1])"
    )
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with subprocess.Popen([sys.executable, "-c", code, uri]) as maker:
        while not list(tmp_path.glob(".*.part")):
            time.sleep(0.01)
            assert maker.poll() is None
        maker.kill()
    assert not (tmp_path / "mlflow.db").exists()
    assert list(tmp_path.glob(".*.part"))
    alive = tmp_path / f".mlflow.db.{os.getppid()}.part"
    alive.touch()
    assert open_client(uri).search_experiments()
    assert (tmp_path / "mlflow.db").exists()
    # Swept up; what a living process makes is its own.
    assert list(tmp_path.glob(".*.part*")) == [alive]


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("foo", "filesystem tracking backend"),
        ("nonsense://x", "unsupported URI"),
        ("sqlite:///{here}/file", "not a database"),
    ],
)
def test_a_wrong_address_is_told_early(tmp_path: Path, uri: str, why: str) -> None:
    (tmp_path / "file").write_text("not a database, but long enough to look like one " * 20)
    with pytest.raises(UserError, match=why) as caught:
        check_store(tmp_path, uri.format(here=tmp_path))
    assert "\n" not in str(caught.value)
    assert "--tracking-uri" in str(caught.value)


def test_a_store_that_does_not_answer_now_may_do_so_later(tmp_path: Path) -> None:
    check_store(tmp_path, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("revision", "what", "helps"),
    [
        ("0584bdc529eb", "an earlier MLflow", "`mlflow db upgrade {uri}`"),
        ("ffffffffffff", "a later MLflow", "`pip install --upgrade mlflow`"),
    ],
)
def test_a_database_of_another_mlflow(tmp_path: Path, revision: str, what: str, helps: str) -> None:
    open_client(f"sqlite:///{tmp_path}/new.db")
    path = (tmp_path / "new.db").rename(tmp_path / "people's.db")
    uri = f"sqlite:///{path}"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    with pytest.raises(UserError) as error:
        check_store(tmp_path, uri)
    said = str(error.value)
    assert f"its tables are of {what}" in said
    assert helps.format(uri=shlex.quote(uri)) in said
    assert "\n" not in said
