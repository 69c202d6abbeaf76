"""Several families in one study: the classic of each is trained in the finals and compared with."""

import pytest

from archsearch.ir.codec import content_hash
from archsearch.report.plan import plan_lines
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.study import driver
from archsearch.study.events import JobEnded, Planned
from tests.bench import Killed, table
from tests.small_study import Small, settings_of

pytestmark = pytest.mark.usefixtures("studies_in_memory")

NAME = "vgg_resnext-20M-digits"
FAMILIES = {"vgg", "resnext"}


def classic(result, family):
    """The family's own classic, as a study of this family alone has it."""
    space = find_space(family)
    height, width, channels = result.dataset.input
    size = (height, width, channels)
    asked = Request(size, len(result.dataset.classes), Budget.parse("20M", size))
    return solve(space, space.classic_knobs(asked), asked)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return Small(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def result(small):
    return small.run(space="vgg,resnext", trials=3, finalists=1)


def test_each_family_has_its_classic_in_the_table_and_no_trial_goes_into_it(result):
    matched = {row.name: row for row in result.rows if row.origin == "matched"}
    assert set(matched) == {"classic-vgg", "classic-resnext"}
    for family in FAMILIES:
        row = matched[f"classic-{family}"]
        assert row.graph == content_hash(classic(result, family).graph)
        assert (row.test.n, row.role, row.status) == (2, "baseline", "complete")
    searched = [row for row in result.rows if row.name.startswith("trial-")]
    assert len(searched) == 3
    assert {row.origin for row in searched} == {"search"}
    # They are no candidates, either.
    assert not {row.graph for row in searched} & {row.graph for row in matched.values()}


def test_the_verdict_is_on_the_best_of_the_classics(result):
    if result.winner.origin == "matched":
        pytest.fail("another seed is needed: a classic has won")
    best = max((r for r in result.rows if r.origin == "matched"), key=lambda r: r.expected)
    assert result.verdict.baseline
    assert result.verdict.rival == best.label
    assert (result.verdict.rival_n, best.final_val.n) == (2, 2)


def test_the_plan_names_the_classics(small, result):
    (told,) = [event.forecast for event in small.events if isinstance(event, Planned)]
    assert told.finals == 2 + 2 * len(FAMILIES)
    (line,) = [line for line in plan_lines(told) if line.startswith("classics")]
    assert line.split(None, 1)[1].startswith(classic(result, "vgg").title + ", resnext ")


def test_without_matched_baselines_there_is_no_classic(tmp_path):
    found = Small(tmp_path).run(space="vgg,resnext", trials=2, finalists=1, baselines="none")
    assert {row.origin for row in found.rows} == {"search"}


def test_a_study_of_families_that_is_killed_in_its_finals_ends_in_the_same_table(result, tmp_path):
    other = Small(tmp_path)
    ended = 0

    def die(event):
        nonlocal ended
        ended += isinstance(event, JobEnded)
        if ended == 5:  # three trials and a classic's two trainings are six
            raise Killed

    asked = settings_of(tmp_path, space="vgg,resnext", trials=3, finalists=1)
    with pytest.raises(Killed):
        driver.run(asked, on_event=die, services=other.services())
    assert table(other.resume(NAME)) == table(result)
