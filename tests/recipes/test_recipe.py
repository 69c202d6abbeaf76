from dataclasses import fields, replace

import pytest

from archsearch.errors import UserError
from archsearch.recipes.named import find_recipe, recipe_for, recipe_names
from archsearch.recipes.recipe import Recipe, with_parts
from archsearch.settings import SETTINGS, RunSettings
from archsearch.training.job import Job, from_json, to_json


def test_learning_rate_is_scaled_with_the_batch():
    assert Recipe(base_lr=0.2, batch=256, linear_batch=None).peak_lr == pytest.approx(0.2)
    assert Recipe(base_lr=0.2, batch=64).peak_lr == pytest.approx(0.05)


def test_cosine_warms_up_peaks_and_ends_near_zero():
    recipe = Recipe(warmup=0.1)
    rates = [recipe.learning_rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(recipe.peak_lr / 10)
    assert rates[9] == max(rates) == recipe.peak_lr
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < recipe.peak_lr / 100


def test_networks_get_a_share_of_the_rate_by_what_of_them_is_normalized():
    recipe = Recipe(unnormalized_lr=0.25, unnormalized_head_lr=0.5)
    assert [recipe.rate_share(part) for part in ("whole", "body", "nothing")] == [1.0, 0.5, 0.25]


def rates(batch: int, **parts) -> list[float]:
    """The peak rates of what is normalized as a whole, in its body, nowhere."""
    recipe = Recipe(batch=batch, **parts)
    return [recipe.peak_lr * recipe.rate_share(part) for part in ("whole", "body", "nothing")]


@pytest.mark.parametrize(
    ("parts", "small", "large", "grown"),
    [
        ({}, 16, 32, (2, 2, 2)),
        ({}, 32, 128, (4, 2, 2)),
        ({}, 128, 512, (2, 2, 2)),
        ({"linear_batch": None}, 32, 512, (16, 4, 4)),
        ({"unnormalized_batch": None}, 32, 512, (8, 8, 8)),
        # What is not normalized stands no more than the rest.
        ({"unnormalized_batch": 512}, 32, 512, (8, 8, 8)),
        ({"linear_batch": None, "unnormalized_batch": None}, 32, 512, (16, 16, 16)),
        ({"optimizer": "adamw"}, 32, 512, (4, 4, 4)),
    ],
)
def test_rates_grow_in_proportion_to_the_batch_and_then_with_its_square_root(
    parts, small, large, grown
):
    found = [b / a for a, b in zip(rates(small, **parts), rates(large, **parts), strict=True)]
    assert found == pytest.approx(grown)


def test_a_small_batch_has_the_shares_as_they_are():
    recipe = Recipe(batch=8)
    assert recipe.rate_share("nothing") == recipe.unnormalized_lr


def test_a_papers_rate_is_its_own_in_every_kind_of_network():
    for name in ("vgg2014", "nin2013", "squeezenet2016"):
        assert find_recipe(name).rate_share("nothing") == 1.0


def test_a_larger_batch_gets_a_larger_rate_as_its_optimizer_wants_it():
    for optimizer, factor in (("sgd", 4), ("adamw", 2)):
        one, other = (Recipe(optimizer=optimizer, batch=batch).peak_lr for batch in (32, 128))
        assert other / one == pytest.approx(factor)


def test_step_schedule_divides_by_ten_at_half_and_three_quarters():
    recipe = find_recipe("resnet2015")
    rates = [recipe.learning_rate(step, 100) for step in (0, 49, 50, 74, 75, 99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_every_step_of_the_shortest_trials_learns(name, steps):
    recipe = find_recipe(name)
    assert all(0 < recipe.learning_rate(s, steps) <= recipe.peak_lr for s in range(steps))


def test_the_lectures_recipe():
    recipe = find_recipe("resnet2015")
    assert (recipe.momentum, recipe.nesterov, recipe.weight_decay) == (0.9, False, 1e-4)
    assert (recipe.warmup, recipe.label_smoothing, recipe.clip_norm) == (0.0, 0.0, None)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(UserError, match=r"no recipe 'resnet15'; did you mean resnet2015\?"):
        find_recipe("resnet15")


def test_values_that_cannot_work_are_refused():
    with pytest.raises(UserError, match="batch 0 does not work; it must be at least 1"):
        Recipe(batch=0)
    with pytest.raises(UserError, match="learning rate -1"):
        Recipe(base_lr=-1)


CHANGED = {
    "batch": 64, "base_lr": 0.4, "unnormalized_lr": 0.5, "unnormalized_head_lr": 0.5,
    "momentum": 0, "nesterov": False,
    "weight_decay": 1e-3, "label_smoothing": 0, "schedule": "step", "warmup": 1,
    "milestones": (0.25, 0.5, 0.9), "clip_norm": 1, "ema": 0.9, "class_weights": True,
    "zero_init_residual": True, "centred_init": False, "test_crops": 10, "milestone_factor": 0.2, "shift": 0,
    "scale": (1.25, 2.0), "crop_area": 0.25, "pca_colour": 0.1, "randaugment": 2, "magnitude": 5,
    "cutout": 0.5, "mixup": 0.2, "cutmix": 1, "mixed": 0.5, "dropout_epochs": 90,
    "optimizer": "adamw", "square_momentum": 0.99,
    "retry_rate": 0.5, "unnormalized_batch": 64, "linear_batch": 64,
}  # fmt: skip


def test_every_part_can_be_set_and_reaches_a_worker():
    assert set(CHANGED) == {f.name for f in fields(Recipe)} - {"name"}
    found = with_parts(find_recipe("default"), CHANGED)
    assert found == Recipe(**CHANGED)
    assert {type(getattr(found, p)) for p in ("momentum", "warmup", "clip_norm")} == {float}
    job = Job(key="k", graph="", dataset="", recipe=found, images=1, seed=0)
    assert from_json(to_json(job)) == job


def test_parts_as_texts_hold_them():
    kept = {"milestones": "0.25, 0.5", "clip_norm": "none", "ema": None}
    found = with_parts(Recipe(ema=0.5), kept)
    assert found == Recipe(milestones=(0.25, 0.5), clip_norm=None)
    assert with_parts(Recipe(), {"milestones": 0.5}).milestones == (0.5,)
    assert with_parts(Recipe(), {"milestones": ""}).milestones == ()
    assert with_parts(Recipe(), {}) == Recipe()


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("base_lrr", 0.4, "a recipe has no part 'base_lrr'; did you mean 'base_lr'?"),
        ("name", "mine", "a recipe has no part 'name'"),
        ("", 1, "a recipe has no part ''; there are base_lr, batch"),
        ("base_lr", "fast", "recipe.base_lr is 'fast'; it must be a number"),
        ("base_lr", True, "recipe.base_lr is True; it must be a number"),
        ("base_lr", "none", "recipe.base_lr is 'none'; it must be a number"),
        ("batch", 1.5, "recipe.batch is 1.5; it must be a whole number"),
        ("linear_batch", 0.5, "recipe.linear_batch is 0.5; it must be a whole number, or none"),
        ("linear_batch", 0, "linear batch 0 does not work; it must be at least 1, or none"),
        ("optimizer", "adam", "optimizer 'adam' does not work; it must be sgd or adamw"),
        ("nesterov", 1, "recipe.nesterov is 1; it must be true or false"),
        ("schedule", 3, "recipe.schedule is 3; it must be a text"),
        (
            "milestones",
            "a,b",
            "recipe.milestones is 'a,b'; it must be numbers, separated by commas",
        ),
        ("milestones", "0.5,1", "must be shares of the steps, between 0 and 1"),
        ("milestones", float("nan"), "must be shares of the steps, between 0 and 1"),
        ("base_lr", -1, "recipe default: learning rate -1.0 does not work; it must be above 0"),
        ("base_lr", float("nan"), "learning rate nan does not work"),
        ("clip_norm", float("inf"), "clip norm inf does not work"),
        ("schedule", "linear", "schedule 'linear' does not work; it must be cosine or step"),
        ("batch", 0, "batch 0 does not work"),
        ("retry_rate", 1, "retry rate 1.0 does not work; it must be between 0 and 1"),
        ("test_crops", 5, "test crops 5 does not work; it must be 1 or 10"),
        ("milestone_factor", 0, "milestone factor 0.0 does not work; it must be in (0, 1]"),
        ("shift", 1, "shift 1.0 does not work; it must be a share of the short side, in [0, 1)"),
        ("shift", "far", "recipe.shift is 'far'; it must be a number"),
        ("scale", "2", "scale (2.0,) does not work; it must be two factors from 1 to 8"),
        ("scale", "2,1.5", "scale (2.0, 1.5) does not work; it must be two factors from 1 to 8"),
        ("scale", "0.5,1", "the smaller one first"),
        ("crop_area", 0, "crop area 0.0 does not work; it must be a share, in (0, 1]"),
        ("pca_colour", 3, "pca colour 3.0 does not work; it must be in [0, 1]"),
        ("randaugment", 9, "randaugment 9 does not work; it must be from 0 to 8"),
        ("randaugment", 1.5, "recipe.randaugment is 1.5; it must be a whole number"),
        ("magnitude", 31, "magnitude 31.0 does not work; it must be from 0 to 30"),
        ("cutout", 1, "cutout 1.0 does not work; it must be a share of the short side, in [0, 1)"),
        ("mixup", -1, "mixup -1.0 does not work; it must be 0 or more"),
        ("cutmix", float("nan"), "cutmix nan does not work; it must be 0 or more"),
        ("mixed", 1.1, "mixed 1.1 does not work; it must be a share of the batches, in [0, 1]"),
    ],
)
def test_parts_that_cannot_be_set(part, value, message):
    with pytest.raises(UserError) as error:
        with_parts(Recipe(), {part: value})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_runs_recipe():
    asked = RunSettings(
        space="vgg", flops="20M", recipe="resnet2015", batch_size=64, ema=0.9, class_weights=True,
        recipe_parts={"base_lr": 0.4, "milestones": [0.5]},
    )  # fmt: skip
    assert recipe_for(asked) == replace(
        find_recipe("resnet2015"), batch=64, ema=0.9, class_weights=True, base_lr=0.4,
        milestones=(0.5,),
    )  # fmt: skip
    assert recipe_for(RunSettings(space="vgg", flops="20M")) == Recipe()


def test_settings_that_set_a_part_name_one_that_there_is():
    parts = [s.declared.part for s in SETTINGS.values() if s.declared.part is not None]
    assert sorted(parts) == ["batch", "class_weights", "ema"]
    assert set(parts) <= {f.name for f in fields(Recipe)}


def test_short_trainings_drop_less_than_papers_did():
    recipe = Recipe()
    assert recipe.dropped_share(6) == pytest.approx(6 / 180)
    assert recipe.dropped_share(180) == recipe.dropped_share(500) == 1
    assert replace(recipe, dropout_epochs=None).dropped_share(1) == 1
    assert find_recipe("vgg2014").dropped_share(1) == 1
