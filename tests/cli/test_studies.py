"""Deleting asks first, and takes no for an answer."""

import io

import pytest

from archsearch.cli import main
from archsearch.study import catalogue
from tests.small_study import NAME, Small


@pytest.mark.parametrize(("answer", "said", "left"), [("n", "kept", [NAME]), ("y", "deleted", [])])
def test_deleting_asks_first(tmp_path, monkeypatch, capsys, answer, said, left):
    Small(tmp_path).run(trials=1, finalists=0)
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{answer}\n"))
    assert main(["delete", NAME, "--keep-runs", "--home", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{said} {NAME}\n"
    assert f"Delete {NAME} (with its 1 network)?" in err
    assert [study.name for study in catalogue.list_studies(home=tmp_path)] == left
