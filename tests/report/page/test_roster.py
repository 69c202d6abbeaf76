import json

from archsearch.report.page.roster import FACTS, cut_short, details, networks, rule_check
from tests.report.page.made import NASTY, material, result, row


def test_columns_are_sorted_by_their_figures():
    table = networks(result(), of=result()).blocks[-1]
    heads = [head.lstrip(">") for head in table.heads]
    first = dict(zip(heads, table.rows[0], strict=True))
    assert (first["FLOPs"].text, first["FLOPs"].value) == ("19.0M", 19_000_000)
    assert (first["val again %"].text, first["val again %"].value) == ("90.0 ± 1.0", 0.9)
    assert (first["fill"].text, first["fill"].value) == ("95.0%", 95.0)
    assert len(set(heads)) == len(heads)


def test_departures_are_listed_and_their_absence_is_said():
    listed = rule_check(result()).blocks
    assert listed[0].lines == ("1 of 6 networks depart from a rule.",)
    assert listed[1].rows[0][2].text == "resnext.groups"
    clean = result(rows=(row("trial-0000"),))
    assert rule_check(clean).blocks[0].lines == (
        "All 1 networks follow every rule of their space.",
    )
    assert rule_check(result(rows=(row("trial-0000", findings=None),))) is None


def test_what_was_cut_short_says_why():
    rows = (*result().rows, row("trial-0009", stalled=True, reason="no better than guessing"))
    section = cut_short(result(rows=rows))
    assert section.blocks[0].lines == ("1 failed, 1 pruned, 1 stalled, of 7 networks.",)
    told = {row[1].text: (row[2].text, row[4].text) for row in section.blocks[1].rows}
    assert told["pruned"] == (f"hopeless {NASTY}", "50.0")
    assert told["stalled"] == ("no better than guessing", "")  # a guess is no result
    assert cut_short(result(rows=(row("trial-0000"),))) is None


def test_all_of_a_network_is_json():
    found = details(material())
    json.dumps(found, allow_nan=False)
    assert {len(one["facts"]) for one in found} == {len(FACTS)}
    winner = dict(zip(FACTS, found[0]["facts"], strict=True))
    assert winner["test accuracy"] == "88.0 ± 2.0 % (n = 2)"
    assert [stage[3] for stage in found[0]["stages"]] == ["5", "10", "4"]
