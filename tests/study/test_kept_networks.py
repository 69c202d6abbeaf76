"""A study's networks are checked against the rules that they were built to hold."""

import json

import pytest

import archsearch
from archsearch.cli import main
from archsearch.errors import UserError
from tests.small_study import NAME, Small

pytestmark = pytest.mark.usefixtures("studies_in_memory")


def test_candidates_hold_their_rules_and_published_networks_need_not(tmp_path, capsys):
    result = Small(tmp_path).run(baselines="matched,lenet5")
    here = ["--home", str(tmp_path)]
    assert main(["check", NAME, *here, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found) == len(result.rows) == 5
    assert [one["findings"] for one in found[:-1]] == [[]] * 4
    assert found[-1]["network"] == "lenet5 lenet5"
    assert {finding["rule"] for finding in found[-1]["findings"]} <= {
        "3x3-stacks",
        "channel-doubling",
    }
    assert main(["check", NAME, "--rule", "3x3-stacks", *here]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("lenet5 lenet5: ")
    assert f"{NAME}, 5 networks: " in shown.err


def test_one_network_of_a_study_by_its_number(tmp_path, capsys):
    Small(tmp_path).run()
    (audit,) = archsearch.check(NAME, trial=2, home=tmp_path)
    assert audit.name.startswith("trial-0002 vgg ")
    assert audit.findings == ()
    assert main(["check", NAME, "--trial", "2", "--home", str(tmp_path)]) == 0
    assert "holds every rule it is about" in capsys.readouterr().err


def test_in_the_lecture_each_network_holds_its_familys_rules(tmp_path):
    Small(tmp_path).run(space="lecture", baselines="matched,lenet5", name="all")
    audits = archsearch.check("all", home=tmp_path)
    # The space itself lists no rule, and so a published network breaks none of it.
    assert [audit.findings for audit in audits] == [()] * 5


def test_what_is_not_there_is_said(tmp_path):
    Small(tmp_path).run()
    with pytest.raises(UserError, match=r"has no network of trial 99; its last is 3"):
        archsearch.check(NAME, trial=99, home=tmp_path)
    with pytest.raises(UserError, match="no study 'nobody'"):
        archsearch.check("nobody", trial=1, home=tmp_path)
    with pytest.raises(UserError, match=f"no study is named 'vgg-20M-digit'; did you mean {NAME}"):
        archsearch.check("vgg-20M-digit", home=tmp_path)
