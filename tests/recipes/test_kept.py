import json
from dataclasses import fields, replace

import pytest

from archsearch.errors import UserError
from archsearch.recipes import named
from archsearch.recipes.kept import LATER, has_changed, own_parts, read_recipe, values_of
from archsearch.recipes.named import find_recipe, recipe_names
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings

FIRST = {
    "name", "batch", "base_lr", "unnormalized_lr", "momentum", "optimizer", "square_momentum", "nesterov",
    "weight_decay",
    "label_smoothing", "dropout_epochs", "schedule", "warmup", "milestones", "milestone_factor",
    "clip_norm", "ema", "class_weights", "zero_init_residual", "test_crops", "shift", "scale",
    "crop_area", "pca_colour", "randaugment", "magnitude", "cutout", "mixup", "cutmix", "mixed",
}  # fmt: skip
"""The parts that the first kept recipes have. A new part is no more of it: it goes into `LATER`."""


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_the_same_after_json(name):
    recipe = find_recipe(name)
    assert read_recipe(json.loads(json.dumps(values_of(recipe), allow_nan=False))) == recipe


def test_parts_that_came_later_are_named_with_what_was_so_before():
    assert {field.name for field in fields(Recipe)} == FIRST | set(LATER)
    assert not FIRST & set(LATER)
    first = {part: value for part, value in values_of(Recipe()).items() if part in FIRST}
    assert read_recipe(first) == replace(Recipe(), **LATER)


def test_a_part_that_is_missing_has_never_todays_default():
    values = values_of(Recipe())
    del values["dropout_epochs"]
    with pytest.raises(ValueError, match="recipe default lacks dropout_epochs"):
        read_recipe(values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wings": 2}, "has a part 'wings' that this version of archsearch does not know: pip"),
        ({"batch": 0}, "batch 0 does not work; it must be at least 1"),
        ({"batch": "many"}, "recipe.batch is 'many'; it must be a whole number"),
        ({"milestones": [0.5, "late"]}, "it must be numbers, separated by commas"),
    ],
)
def test_what_cannot_be_read_is_one_line(changes, message):
    with pytest.raises(UserError) as error:
        read_recipe({**values_of(Recipe()), **changes})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_where_a_recipe_is_not_what_its_name_means_today(monkeypatch):
    settings = RunSettings(space="vgg", flops="20M", recipe_parts={"ema": 0.9})
    began = replace(Recipe(), ema=0.9)
    assert has_changed(began, settings) == ""
    assert own_parts(began) == {"ema": 0.9}
    before = replace(began, dropout_epochs=None, scale=(1.0, 1.25))
    assert has_changed(before, settings) == (
        "recipe default was another when the study began (scale 1,1.25 there, 1,1 now, "
        "dropout_epochs none there, 180 now): that one counts"
    )
    monkeypatch.setattr(named, "NAMED", ())
    assert has_changed(began, settings) == (
        "there is no recipe default any more: the one that the study began with counts"
    )
