"""The named recipes: what papers say of them, and that docs/recipes.md says what is so."""

import re
from pathlib import Path

import pytest

from archsearch.errors import UserError
from archsearch.recipes.named import (
    NAMED,
    find_named,
    find_recipe,
    recipe_names,
    recipes_markdown,
)
from archsearch.recipes.recipe import with_parts
from archsearch.space.registry import load_baselines

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text(encoding="utf-8")


# From the papers: rate at the start and at the end, for so many epochs; decay; batch.
@pytest.mark.parametrize(
    ("name", "batch", "first", "last", "decay"),
    [
        ("resnet2015", 128, 0.1, 0.001, 1e-4),
        ("wrn2016", 128, 0.1, 0.1 * 0.2**3, 5e-4),
        ("stochastic_depth2016", 128, 0.1, 0.001, 1e-4),
        ("resnext2016", 128, 0.1, 0.001, 5e-4),
        ("densenet2017", 64, 0.1, 0.001, 1e-4),
        ("fractal2017", 100, 0.02, 2e-6, 0.0),
        ("nin2013", 128, 0.1, 0.001, 1e-4),
        ("alexnet2012", 128, 0.01, 1e-5, 5e-4),
        ("vgg2014", 256, 0.01, 1e-5, 5e-4),
        ("senet2017", 1024, 0.6, 0.0006, 1e-4),
    ],
)
def test_rates_and_decays_are_the_papers(name, batch, first, last, decay):
    recipe = find_recipe(name)
    assert (recipe.batch, recipe.weight_decay, recipe.momentum) == (batch, decay, 0.9)
    assert {recipe.rate_share(part) for part in ("whole", "body", "nothing")} == {1.0}
    rates = [recipe.learning_rate(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(first)
    assert rates[-1] == pytest.approx(last)
    assert rates == sorted(rates, reverse=True)
    assert (recipe.label_smoothing, recipe.clip_norm, recipe.ema) == (0.0, None, None)


def test_wide_residual_networks_slow_down_at_epochs_60_120_and_160_of_200():
    recipe = find_recipe("wrn2016")
    rates = [recipe.learning_rate(step, 200) for step in range(200)]
    falls = [epoch for epoch in range(1, 200) if rates[epoch] < rates[epoch - 1]]
    assert (falls, find_named("wrn2016").epochs) == ([60, 120, 160], 200)


def test_the_rate_of_fractals_falls_whenever_the_epochs_left_have_halved():
    recipe = find_recipe("fractal2017")
    rates = [recipe.learning_rate(step, 400) for step in range(400)]
    assert [e for e in range(1, 400) if rates[e] < rates[e - 1]] == [200, 300, 350, 375]


def test_alexnet_and_vgg_see_crops_of_224_pixels():
    alexnet, vgg = find_recipe("alexnet2012"), find_recipe("vgg2014")
    assert [224 * factor for factor in alexnet.scale] == pytest.approx([256, 256])
    assert [224 * factor for factor in vgg.scale] == pytest.approx([256, 512])
    for recipe in (alexnet, vgg):
        assert (recipe.pca_colour, recipe.test_crops, recipe.shift) == (0.1, 10, 0.0)


def test_every_paper_trained_baselines_that_there_are():
    named = [name for each in NAMED for name in each.baselines]
    assert set(named) <= set(load_baselines())
    assert len(named) == len(set(named))
    assert all(each.epochs and each.baselines for each in NAMED[2:])
    assert len(recipe_names()) == len(set(recipe_names()))


@pytest.mark.parametrize(
    ("asked", "meant"), [("wrn_28_10", "wrn2016"), ("vgg16", "vgg2014"), ("wrn", "wrn2016")]
)
def test_who_asks_for_a_networks_recipe_is_told_its_name(asked, meant):
    with pytest.raises(UserError, match=f"no recipe '{asked}'; did you mean {meant}"):
        find_recipe(asked)


@pytest.mark.parametrize("named", NAMED, ids=recipe_names())
def test_the_parts_in_the_table_make_the_recipe(named):
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{named.recipe.name}` |")]
    parts = dict(re.findall(r"`(\w+)=([^`]*)`", row.rpartition(" | ")[2]))
    plain = {
        part: value if part in {"milestones", "scale"} else _plain(value)
        for part, value in parts.items()
    }
    made = with_parts(find_recipe("default"), plain)
    for part in named.parts():
        got, wanted = getattr(made, part), getattr(named.recipe, part)
        numbers = isinstance(wanted, float | tuple)
        assert got == (pytest.approx(wanted, rel=1e-5) if numbers else wanted), part


def _plain(text):
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def test_the_page_has_the_table_that_the_code_gives():
    assert f"<!-- recipes -->\n\n{recipes_markdown()}\n\n<!-- /recipes -->" in PAGE


def test_the_page_names_every_part_about_images():
    from archsearch.augmentation.policy import Augmentation

    for part in (*Augmentation.__dataclass_fields__, "test_crops"):
        assert f"`{part}`" in PAGE.partition("## What is done to images")[2]
