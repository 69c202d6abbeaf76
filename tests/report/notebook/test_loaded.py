"""A study as an object: its tables say what the command line's do, each read anew."""

import json

import pandas as pd
import pytest

import archsearch
from archsearch.cli import main
from archsearch.errors import UserError
from archsearch.report.notebook.frames import EPOCH, NETWORK
from tests.small_study import NAME, Small


@pytest.fixture(scope="module")
def home(done):
    Small(done.home).run(name="other", trials=2, seed=1)
    return done.home


@pytest.fixture
def study(home):
    return archsearch.load_study(NAME, home=home)


def said(capsys, *arguments, home):
    assert main([*arguments, "--home", str(home), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_leaderboard_is_the_command_lines(study, home, capsys):
    table = study.leaderboard()
    rows = said(capsys, "leaderboard", NAME, home=home)["rows"]
    assert list(table.columns) == list(NETWORK)
    assert list(table["network"]) == [row["name"] for row in rows]
    assert list(table["flops"]) == [row["flops"] for row in rows]
    tested = [row["test"] and row["test"]["mean"] for row in rows]
    assert [None if pd.isna(mean) else mean for mean in table["test"]] == tested
    (winner,) = table.query("winner").to_dict("records")
    assert winner["network"] == study.winner.name
    assert winner["n"] == study.winner.test.n >= 2
    assert (table["fill"].dropna() > 0).all()


def test_trials_have_their_knobs(study):
    table = study.trials()
    assert list(table["number"]) == list(range(len(table)))
    assert len(table) == 4
    assert {f"knob_depth{i}" for i in range(1, 6)} <= set(table.columns)
    assert table["knob_depth1"].notna().all()
    assert (table["state"] == "complete").all()
    assert table["val_accuracy"].between(0, 1).all()
    assert table["train_flops"].min() > 0


def test_curves_have_every_epoch_of_every_training(study):
    table = study.curves()
    assert list(table.columns) == list(EPOCH)
    counts = table.groupby(["network", "purpose", "seed"], dropna=False)["epoch"].agg(list)
    assert all(epochs == list(range(1, len(epochs) + 1)) for epochs in counts)
    trials = study.trials().set_index("network")
    last = table.query("purpose == 'search'").groupby("network").last()
    assert last["val_accuracy"].to_dict() == trials["val_accuracy"].to_dict()
    assert set(table.query("purpose == 'final'")["seed"]) >= {1, 2}
    assert (table["label"] != "").all()


def test_studies_stand_side_by_side(study, home, capsys):
    table = study.compare("other")
    wanted = said(capsys, "compare", NAME, "other", home=home)
    assert list(table["study"]) == [row["study"] for row in wanted["standings"]]
    assert list(table["best"]) == [row["best"] for row in wanted["standings"]]
    assert list(table.attrs["cautions"]) == wanted["cautions"]
    other = archsearch.load_study("other", home=home)
    assert study.compare(other).equals(table)


def test_the_report_is_written_where_it_is_asked_for(study, home, tmp_path):
    path = study.report(tmp_path / "report", form="md")
    assert path.read_text(encoding="utf-8").startswith(f"# {NAME}")
    with pytest.raises(UserError, match="form is 'pdf'; give html or md"):
        study.report(form="pdf")


@pytest.mark.slow  # MLflow is told, too
def test_the_page_is_one_file_in_the_study(study, home):
    path = study.report()
    assert path == home / "studies" / NAME / "report" / "report.html"
    assert study.winner.label in path.read_text(encoding="utf-8")


def test_its_networks_are_checked_as_the_command_line_does(study, home):
    assert study.check() == archsearch.check(NAME, home=home)
    (one,) = study.check(trial=0, rules=["channel-doubling"])
    assert one.findings == ()
    with pytest.raises(UserError, match="no rule is named"):
        study.check(rules=["nonsense"])


def test_a_notebook_shows_how_it_stands_and_the_table(study):
    assert repr(study) == f"<Study {NAME}: complete, {len(study.leaderboard())} networks>"
    page = study._repr_html_()
    assert page.startswith(f"<p>{NAME}: complete</p><table")
    assert study.winner.label in page


def test_one_that_is_not_there_is_told_at_once(home):
    with pytest.raises(UserError, match="no study"):
        archsearch.load_study("none", home=home)


def test_tables_have_their_columns_also_where_nothing_is_there():
    from archsearch.report.notebook.frames import curves_frame, trials_frame

    assert list(curves_frame([], {}, None).columns) == list(EPOCH)
    assert len(trials_frame([])) == 0
