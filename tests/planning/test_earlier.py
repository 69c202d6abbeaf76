"""A study learns from earlier ones of its space, says from which, and keeps to that."""

import shutil
from pathlib import Path

import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.planning import earlier
from archsearch.settings import RunSettings
from archsearch.study.catalogue import delete_study, load_result
from archsearch.study.dry_run import plan
from archsearch.study.events import StudyStarted
from archsearch.study.interrupt import Interrupted
from archsearch.training.job import Job
from tests.bench import table
from tests.world import World, interrupted_after

SETTINGS = {
    "space": "lenet", "flops": "2M", "trials": 12, "epochs": 2, "workers": 2, "finalists": 0,
    "baselines": "matched",
}  # fmt: skip
CHANCE = {"sampler": "random"}
"""Of studies that only teach: it is quicker."""


def by_size(job: Job) -> float:
    """An accuracy that follows from the Graph: the longer its text, the better."""
    return 0.2 + len(job.graph) / 20_000


def world() -> World:
    return World(validation=by_size)


def settings(home: Path, **changes) -> RunSettings:
    return RunSettings(**{**SETTINGS, "home": str(home), **changes})


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A home with a study that has ended."""
    home = tmp_path_factory.mktemp("home")
    world().run(settings(home, name="first"))
    return home


@pytest.fixture
def home(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path / "home")
    return tmp_path / "home"


def notes(made: World) -> str:
    (started,) = (event for event in made.events if isinstance(event, StudyStarted))
    return "\n".join(started.notes)


def test_a_new_study_learns_and_says_from_which(home):
    made = world()
    result = made.run(settings(home, name="second", flops="3M"))
    assert "learns from: first (12 networks)" in notes(made)
    assert result.learnt_from == {"first": 12}
    assert result.to_dict()["learnt_from"] == {"first": 12}
    # Both at once: a plan says so, too, and names the newest first.
    found = plan(settings(home, seed=7), services=world().services())
    assert any(
        note.startswith("learns from: second (12 networks), first (12") for note in found.notes
    )


def test_it_proposes_other_networks_for_it(home):
    led = world().run(settings(home, name="led", flops="3M"))
    alone = world().run(settings(home, name="alone", flops="3M", prior=False))
    assert alone.learnt_from == {}
    assert table(led) != table(alone)


def test_without_earlier_studies_it_is_as_without_a_prior(tmp_path, first):
    alone = world().run(settings(tmp_path, name="first", prior=False))
    assert table(alone) == table(load_result("first", home=first))


def test_the_same_command_repeats_itself(home):
    made = world()
    # How the machine is shared makes no other question.
    again = made.run(settings(home, name="again", precision="float32"))
    assert again.learnt_from == {}
    assert notes(made) == ""
    assert table(again) == table(load_result("first", home=home))
    # Also one that has learnt: it learns from what that one learnt from, no matter what came since.
    led = world().run(settings(home, name="led", seed=1))
    led_again = world().run(settings(home, name="led-again", seed=1))
    assert led.learnt_from == led_again.learnt_from == {"again": 12, "first": 12}
    assert table(led) == table(led_again)


def test_a_study_that_goes_on_keeps_what_it_learnt_to_the_digit(home):
    whole = world().run(settings(home, name="whole", flops="3M"))
    delete_study("whole", home=home)
    stopped = World(**{**interrupted_after(9)._options, "validation": by_size})
    with pytest.raises(Interrupted):
        stopped.run(settings(home, name="whole", flops="3M"))
    with opened(default_url(home)) as storage:
        kept = StudyStore.open(storage, "whole").facts.learnt
    delete_study("first", home=home)  # what it learnt from is gone
    made = world()
    result = made.resume("whole", home)
    assert "learns from: first (12 networks)" in notes(made)
    assert table(result) == table(whole)
    with opened(default_url(home)) as storage:
        assert StudyStore.open(storage, "whole").facts.learnt == kept


@pytest.mark.parametrize(
    "changes", [{"space": "nin", "flops": "5M"}, {"sampler": "random", "seed": 3}]
)
def test_other_spaces_and_samplers_without_a_model_learn_nothing(home, changes):
    made = world()
    result = made.run(settings(home, name="other", **{"trials": 2, **changes}))
    assert result.learnt_from == {}
    assert "learns from" not in notes(made)


def test_too_few_networks_teach_nothing(tmp_path):
    world().run(settings(tmp_path, trials=earlier.LEAST_NETWORKS - 1, name="short", **CHANCE))
    assert world().run(settings(tmp_path, trials=2, name="next")).learnt_from == {}


def test_what_has_stalled_teaches_nothing(tmp_path):
    World(validation=lambda job: 0.1).run(settings(tmp_path, name="stalled", **CHANCE))
    assert world().run(settings(tmp_path, trials=2, name="next")).learnt_from == {}


def test_a_broken_study_costs_a_notice(home):
    world().run(settings(home, name="second", flops="3M"))
    graphs = next(StudyFolder(home, "first").path.glob("**/*.json")).parent
    shutil.rmtree(graphs)
    made = world()
    result = made.run(settings(home, name="third", seed=5, trials=3))
    assert result.learnt_from == {"second": 12}
    assert "study 'first' teaches nothing" in made.notices
    assert made.notices.count("\n") == 0


def test_several_budgets_teach_each_for_itself(tmp_path):
    world().run(settings(tmp_path, flops="2M,3M", trials=18, name="slices", **CHANCE))
    result = world().run(settings(tmp_path, flops="2M,3M", trials=6, name="next"))
    assert result.learnt_from == {"slices": 18}
