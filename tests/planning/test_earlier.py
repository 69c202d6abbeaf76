"""A study learns from earlier ones of its space, says from which, and keeps to that."""

import re
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.planning import earlier
from archsearch.planning.shipped import NAME, shipped
from archsearch.settings import RunSettings
from archsearch.study.catalogue import delete_study
from archsearch.study.dry_run import plan
from archsearch.study.events import StudyStarted
from archsearch.study.interrupt import Interrupted
from archsearch.training.job import Job
from tests.bench import table
from tests.world import World, interrupted_after

SETTINGS = {
    "space": "lenet", "flops": "2M", "trials": 10, "epochs": 2, "workers": 2, "finalists": 0,
    "baselines": "matched",
}  # fmt: skip
SHIPPED = shipped().studies
CHANCE = {"sampler": "random"}
"""Of studies that only teach: it is quicker."""


def by_size(job: Job) -> float:
    """An accuracy that follows from the Graph: the longer its text, the better."""
    return 0.2 + len(job.graph) / 20_000


def world() -> World:
    return World(validation=by_size)


def settings(home: Path, **changes) -> RunSettings:
    return RunSettings(**{**SETTINGS, "home": str(home), **changes})


class Ended(NamedTuple):
    """A home with two studies that have ended: `second` has learnt from `first`."""

    home: Path
    first: StudyResult
    second: StudyResult
    said: str


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Ended:
    home, made = tmp_path_factory.mktemp("home"), world()
    first = world().run(settings(home, name="first"))
    second = made.run(settings(home, name="second", flops="3M"))
    return Ended(home, first, second, notes(made))


@pytest.fixture
def home(ended: Ended, tmp_path: Path) -> Path:
    shutil.copytree(ended.home, tmp_path / "home")
    return tmp_path / "home"


def notes(made: World) -> str:
    (started,) = (event for event in made.events if isinstance(event, StudyStarted))
    return "\n".join(started.notes)


def test_a_new_study_learns_and_says_from_which(ended):
    assert ended.said == "learns from: first (10 networks); --no-prior leaves that out"
    assert ended.second.learnt_from == {"first": 10}
    assert ended.second.to_dict()["learnt_from"] == {"first": 10}
    # A plan says so, too, and names the newest first.
    found = plan(settings(ended.home, seed=7), services=world().services())
    begins = "learns from: second (10 networks), first (10 networks)"
    assert any(note.startswith(begins) for note in found.notes)


def test_it_proposes_other_networks_for_it(home, ended):
    alone = world().run(settings(home, name="alone", flops="3M", prior=False))
    assert alone.learnt_from == {}
    assert table(ended.second) != table(alone)


def test_without_earlier_studies_it_learns_from_what_is_shipped(tmp_path, ended):
    made = world()
    again = made.run(settings(tmp_path, name="first"))
    assert again.learnt_from == ended.first.learnt_from == SHIPPED
    assert re.fullmatch(rf"learns from: {NAME} \(\d+ networks\); --no-prior .*", notes(made))
    assert table(again) == table(ended.first)
    alone = world().run(settings(tmp_path, name="alone", prior=False))
    assert alone.learnt_from == {}
    assert table(alone) != table(ended.first)


def test_the_same_command_repeats_itself(home, ended):
    made = world()
    # How the machine is shared makes no other question.
    again = made.run(settings(home, name="again", precision="float32"))
    assert again.learnt_from == SHIPPED
    assert table(again) == table(ended.first)
    # It learns from what that one learnt from, no matter what came since.
    led = world().run(settings(home, name="led", flops="3M"))
    assert led.learnt_from == {"first": 10}
    assert table(led) == table(ended.second)
    # What repeats another study teaches nothing besides.
    found = plan(settings(home, seed=7), services=world().services())
    assert any("learns from: led (10 networks), again (10 networks);" in n for n in found.notes)


def test_a_study_that_goes_on_keeps_what_it_learnt_to_the_digit(home, ended):
    delete_study("second", home=home)
    stopped = World(**{**interrupted_after(9)._options, "validation": by_size})
    with pytest.raises(Interrupted):
        stopped.run(settings(home, name="second", flops="3M"))
    delete_study("first", home=home)  # what it learnt from is gone
    made = world()
    result = made.resume("second", home)
    assert notes(made) == ended.said
    assert table(result) == table(ended.second)
    kept = [StudyStore.open(s, "second").facts.learnt for s in storages(home, ended.home)]
    assert kept[0] == kept[1]


def storages(*homes: Path):
    for home in homes:
        with opened(default_url(home)) as storage:
            yield storage


def test_samplers_without_a_model_learn_nothing(home):
    made = world()
    result = made.run(settings(home, name="other", trials=2, sampler="random", seed=3))
    assert result.learnt_from == {}
    assert "learns from" not in notes(made)


def test_studies_of_other_spaces_teach_nothing(home):
    found = world().run(settings(home, name="other", trials=2, space="nin", flops="5M"))
    assert found.learnt_from == SHIPPED


def test_too_few_networks_teach_nothing(tmp_path):
    world().run(settings(tmp_path, trials=earlier.LEAST_NETWORKS - 1, name="short", **CHANCE))
    assert world().run(settings(tmp_path, trials=2, name="next")).learnt_from == SHIPPED


def test_what_has_stalled_teaches_nothing(tmp_path):
    World(validation=lambda job: 0.1).run(settings(tmp_path, name="stalled", **CHANCE))
    assert world().run(settings(tmp_path, trials=2, name="next")).learnt_from == SHIPPED


def test_a_broken_study_costs_a_notice(home):
    graphs = next(StudyFolder(home, "first").path.glob("**/*.json")).parent
    shutil.rmtree(graphs)
    made = world()
    result = made.run(settings(home, name="third", seed=5, trials=3))
    assert result.learnt_from == {"second": 10}
    assert "study 'first' teaches nothing" in made.notices
    assert made.notices.count("\n") == 0


def test_several_budgets_teach_each_for_itself(tmp_path):
    world().run(settings(tmp_path, flops="2M,3M", trials=18, name="slices", **CHANCE))
    result = world().run(settings(tmp_path, flops="2M,3M", trials=6, name="next"))
    assert result.learnt_from == {"slices": 18}
