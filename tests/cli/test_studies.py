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


@pytest.mark.parametrize("stdin", [None, io.StringIO("")])
def test_where_nobody_answers_it_says_how_to_go_without(tmp_path, monkeypatch, capsys, stdin):
    Small(tmp_path).run(trials=1, finalists=0)
    monkeypatch.setattr("sys.stdin", stdin)
    assert main(["delete", NAME, "--home", str(tmp_path)]) == 2
    assert "nobody answers" in (said := capsys.readouterr().err)
    assert "--yes deletes without asking" in said
    assert [study.name for study in catalogue.list_studies(home=tmp_path)] == [NAME]
