"""A study keeps its recipe, whatever the project makes of the name meanwhile."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from archsearch.archive.databases import MARK, default_url, opened
from archsearch.archive.store import StudyStore
from archsearch.recipes import named
from archsearch.recipes.named import find_recipe
from archsearch.recipes.recipe import Recipe
from archsearch.report.analysis import compare
from archsearch.report.live import event_lines
from archsearch.settings import RunSettings
from archsearch.study.catalogue import load_result
from archsearch.study.events import EpochDone, StudyStarted
from archsearch.study.in_full.subject import inherited
from archsearch.study.interrupt import Interrupted
from tests.world import STUDY, World

pytestmark = pytest.mark.usefixtures("studies_in_memory")

WAS = replace(Recipe(), base_lr=0.3)
CHANGED = "recipe default was another when the study began (base_lr 0.3 there, 1.6 now)"


@pytest.fixture
def mean(monkeypatch) -> Callable[[Recipe], None]:
    """Have the name `default` mean a recipe."""
    others = [known for known in named.NAMED if known.recipe.name != "default"]
    [usual] = [known for known in named.NAMED if known.recipe.name == "default"]

    def change(recipe: Recipe) -> None:
        monkeypatch.setattr(named, "NAMED", (replace(usual, recipe=recipe), *others))

    return change


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg", flops="20M", trials=4, epochs=3, workers=1, seeds=1, finalists=1,
        home=str(tmp_path), recipe_parts={"momentum": 0.8},
    )  # fmt: skip


def interrupted(settings: RunSettings) -> World:
    world = World(interrupt_at=lambda e: isinstance(e, EpochDone) and "0001" in e.report.key)
    with pytest.raises(Interrupted):
        world.run(settings)
    return world


def recipes(world: World) -> set[Recipe]:
    return {job.recipe for job in world.engine.submitted}


def said(world: World) -> list[str]:
    return [line for event in world.events if isinstance(event, StudyStarted)
            for line in event_lines(event)]  # fmt: skip


def test_a_study_that_goes_on_trains_the_rest_as_it_began(settings, mean, tmp_path):
    mean(WAS)
    began = interrupted(settings)
    mean(Recipe())
    world = World()
    result = world.resume(STUDY, tmp_path)
    assert recipes(began) == recipes(world) == {replace(WAS, momentum=0.8)}
    assert [line for line in said(world) if CHANGED in line] == [f"{CHANGED}: that one counts"]
    assert result.recipe == replace(WAS, momentum=0.8)
    assert result.to_dict()["recipe"] == asdict(replace(WAS, momentum=0.8))
    params = world.tracker.study_record.settings
    assert (params["recipe.base_lr"], params["recipe.momentum"]) == ("0.3", "0.8")
    assert params["recipe.dropout_epochs"] == "180"


def test_nothing_is_said_where_nothing_has_changed(settings, tmp_path):
    interrupted(settings)
    world = World()
    world.resume(STUDY, tmp_path)
    assert "recipe" not in "\n".join(said(world))


def test_its_winner_is_trained_in_full_as_the_study_trained(settings, mean, tmp_path):
    mean(WAS)
    World().run(settings)
    mean(Recipe())

    def trained(**given: object) -> World:
        asked = RunSettings(network=STUDY, home=str(tmp_path))
        values = {**inherited(asked), "network": STUDY, "home": str(tmp_path), "epochs": 2, **given}
        world = World()
        world.run(RunSettings.from_dict(values))
        return world

    world = trained()
    assert recipes(world) == {replace(WAS, momentum=0.8)}
    assert f"{CHANGED}: that one counts" in said(world)
    world = trained(name="own", **{"recipe.base_lr": 0.1})
    assert recipes(world) == {replace(WAS, momentum=0.8, base_lr=0.1)}
    world = trained(name="other", recipe="resnet2015")
    assert recipes(world) == {replace(find_recipe("resnet2015"), momentum=0.8)}
    assert "recipe" not in "\n".join(said(world))


def test_compared_studies_say_that_one_name_meant_two_recipes(settings, mean, tmp_path):
    mean(WAS)
    World().run(settings)
    mean(Recipe())
    World().run(replace(settings, name="today"))
    found = compare([load_result(name, home=tmp_path) for name in (STUDY, "today")])
    assert found.cautions == (
        "their recipes differ: default with base_lr 0.3 and momentum 0.8, default with momentum 0.8",
    )


def without_recipe(home: Path) -> None:
    """Have a study be one of format 2, which did not keep it."""
    with opened(default_url(home)) as storage:
        study = storage.get_study_id_from_name(STUDY)
        mark = storage.get_study_user_attrs(study)[MARK]
        del mark["recipe"]
        storage.set_study_user_attr(study, MARK, {**mark, "format": 2})


def test_an_old_study_goes_on_with_todays_recipe_and_says_so_once(settings, mean, tmp_path):
    mean(WAS)
    interrupted(settings)
    without_recipe(tmp_path)
    mean(Recipe())
    world = World(interrupt_at=lambda e: isinstance(e, EpochDone) and "0002" in e.report.key)
    with pytest.raises(Interrupted):
        world.resume(STUDY, tmp_path)
    assert recipes(world) == {replace(Recipe(), momentum=0.8)}
    note = "the study began with a version that did not keep all of its recipe"
    assert [line for line in said(world) if note in line] == [
        f"{note}: it goes on with default as it is now"
    ]
    again = World()
    result = again.resume(STUDY, tmp_path)
    assert note not in "\n".join(said(again))
    assert recipes(again) == recipes(world)
    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.open(storage, STUDY)
        assert store.facts.recipe == result.recipe == replace(Recipe(), momentum=0.8)
        assert storage.get_study_user_attrs(store._study_id)["format"] == 6
