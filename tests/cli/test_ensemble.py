"""`archsearch ensemble`: what is printed, and what wrong input comes to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch import api
from archsearch.cli import main
from archsearch.ensembles.makeup import Ensemble, Member
from archsearch.ensembles.single import Single
from archsearch.ensembles.views import views_of
from archsearch.exchange.checking.agreement import Exported
from archsearch.statistics.score import Score

FOUND = Ensemble(
    study="s",
    members=(
        Member(key="final-0001-seed1", label="vgg a", flops=4_000_000, params=9, val=0.9, test=0.8),
        Member(key="final-0002-seed1", label="vgg b", flops=3_000_000, params=8, val=0.7, test=None),
    ),
    flops=7_000_000, params=17, val=0.95, test=0.85, val_images=40, test_images=50, candidates=4,
    without=("vgg c",),
    exports=(
        Exported(
            path=Path("m.keras"), format="keras", size_bytes=1_000_000, images=9, difference=1e-7,
            same_top1=9,
        ),
    ),
)  # fmt: skip


def said(monkeypatch, capsys, found: Ensemble, *flags: str):
    asked = {}

    def fake(study, **how):
        asked.update(how, study=study)
        return found

    monkeypatch.setattr(api, "ensemble", fake)
    assert main(["ensemble", "s", *flags]) == 0
    return asked, capsys.readouterr()


def test_the_table_and_what_is_not_known_yet(monkeypatch, capsys):
    asked, told = said(monkeypatch, capsys, FOUND, "--top", "4", "--format", "keras")
    assert (asked["study"], asked["top"], asked["forms"], asked["single"]) == (
        "s", 4, ("keras",), False,
    )  # fmt: skip
    for words in ("ensemble of 2", "7.00M", "95.0", "85.0", "vgg a", "final-0002-seed1", "m.keras"):
        assert words in told.out
    assert "archsearch ensemble s --top 4 --single trains it" in told.out
    assert told.err == "no weights are kept of vgg c\n"


def test_one_network_alone_and_views_that_do_not_help_are_told(monkeypatch, capsys):
    _, told = said(monkeypatch, capsys, replace(FOUND, members=FOUND.members[:1]))
    assert "one network alone is as good; it is the model" in told.out
    assert "Exported vgg a as keras" in told.out
    views = replace(FOUND, views=views_of((0.9, 1.0), mirror=True), plain_val=0.96)
    asked, told = said(monkeypatch, capsys, views, "--scales", "0.9,1", "--mirror")
    assert (asked["scales"], asked["mirror"]) == ((0.9, 1.0), True)
    assert "ensemble of 2 in 4 views" in told.out
    assert "archsearch ensemble s --scales 0.9,1 --mirror --single trains it" in told.out
    assert "does not speak for scales and mirroring: without them it is 96.0 %, with them 95.0" in (
        told.out
    )
    asked, told = said(monkeypatch, capsys, FOUND)
    assert (asked["scales"], asked["mirror"]) == ((1.0,), False)
    assert "does not speak" not in told.out


def test_scales_that_are_none(capsys):
    assert main(["ensemble", "s", "--scales", "0.9;1"]) == 2
    assert "--scales is '0.9;1', wanted numbers such as 0.9,1,1.1" in capsys.readouterr().err


def test_one_network_stands_beside_it(monkeypatch, capsys):
    test = Score.of([0.8, 0.9])
    single = Single(study="s-single", flops=6_900_000, params=20, test=test)
    found = replace(FOUND, single=single)
    asked, told = said(monkeypatch, capsys, found, "--single")
    assert asked["single"]
    assert "one network: study s-single" in told.out
    assert "85.0 ± 7.1" in told.out
    assert "--single" not in told.out


def test_json_has_all_of_it(monkeypatch, capsys):
    _, told = said(monkeypatch, capsys, FOUND, "--json")
    found = json.loads(told.out)
    assert found["flops"] == sum(member["flops"] for member in found["members"]) == 7_000_000
    assert found["exports"][0]["path"] == "m.keras"
    assert found["single"] is None


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--top", "0"], "0 is not in the range x>=1"), ([], "no study 'nothing'")],
)
def test_wrong_input_is_one_line_and_status_2(flags, words, tmp_path, capsys):
    assert main(["ensemble", "nothing", "--home", str(tmp_path), *flags]) == 2
    told = capsys.readouterr()
    assert words in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
