import pytest

from archsearch.errors import UserError
from archsearch.training.recipe import Recipe, find_recipe, recipe_names


def test_learning_rate_is_scaled_with_the_batch():
    assert Recipe(base_lr=0.2, batch=256).peak_lr == pytest.approx(0.2)
    assert Recipe(base_lr=0.2, batch=64).peak_lr == pytest.approx(0.05)


def test_cosine_warms_up_peaks_and_ends_near_zero():
    recipe = Recipe(warmup=0.1)
    rates = [recipe.learning_rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(recipe.peak_lr / 10)
    assert rates[9] == max(rates) == recipe.peak_lr
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < recipe.peak_lr / 100


def test_networks_without_normalization_get_a_share_of_the_rate():
    recipe = Recipe(unnormalized_lr=0.25)
    for step in (0, 50, 99):
        share = recipe.learning_rate(step, 100, normalized=False) / recipe.learning_rate(step, 100)
        assert share == pytest.approx(0.25)


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
