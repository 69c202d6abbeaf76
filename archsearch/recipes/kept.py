"""A recipe as a study keeps it: every part, so that it stays the same when its name comes to mean another."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any, Final

from archsearch.errors import UserError
from archsearch.recipes.named import find_recipe, recipe_for, written
from archsearch.recipes.recipe import Recipe, with_parts
from archsearch.settings import RunSettings

LATER: Final[Mapping[str, object]] = MappingProxyType(
    {
        "retry_rate": None,
        "unnormalized_head_lr": 1.0,
        "unnormalized_batch": None,
        "linear_batch": None,
        "centred_init": False,
    }
)
"""Parts that are younger than the first kept recipes, each with the value under which all is as it was
before there was the part: a kept recipe that lacks it has this one, never today's default."""


def values_of(recipe: Recipe) -> dict[str, Any]:
    """Return every part of a recipe, and its name, as JSON values."""
    return {
        part: list(value) if isinstance(value, tuple) else value
        for part, value in asdict(recipe).items()
    }


def read_recipe(values: Mapping[str, Any]) -> Recipe:
    """Read what `values_of` gave, perhaps in another version.

    Raises:
        UserError: a part that this version does not know, or a value that does not work.
        ValueError: a part is missing.
    """
    parts = {part: value for part, value in values.items() if part != "name"}
    known = [field.name for field in fields(Recipe) if field.name != "name"]
    name = str(values["name"])
    for part in parts:
        if part not in known:
            raise UserError(
                f"recipe {name} has a part {part!r} that this version of archsearch does not know: "
                "pip install --upgrade archsearch"
            )
    parts = {**LATER, **parts}
    missing = [part for part in known if part not in parts]
    if missing:
        raise ValueError(f"recipe {name} lacks {missing[0]}")
    return with_parts(Recipe(name=name), parts)


def own_parts(recipe: Recipe) -> dict[str, Any]:
    """Return the parts in which a recipe is not the one of its name.

    Raises:
        UserError: there is none of that name.
    """
    usual = find_recipe(recipe.name)
    return {part: value for part, value, _ in _differing(recipe, usual)}


def has_changed(recipe: Recipe, settings: RunSettings) -> str:
    """Say where a kept recipe is not what a study's settings would mean today; empty: nowhere."""
    try:
        today = recipe_for(settings)
    except UserError:
        return (
            f"there is no recipe {recipe.name} any more: the one that the study began with counts"
        )
    found = ", ".join(
        f"{part} {written(kept)} there, {written(now)} now"
        for part, kept, now in _differing(recipe, today)
    )
    if not found:
        return ""
    return f"recipe {recipe.name} was another when the study began ({found}): that one counts"


def _differing(one: Recipe, other: Recipe) -> list[tuple[str, Any, Any]]:
    """Return the parts in which two recipes differ, with the values of both."""
    pairs = [
        (field.name, getattr(one, field.name), getattr(other, field.name))
        for field in fields(Recipe)
        if field.name != "name"
    ]
    return [pair for pair in pairs if pair[1] != pair[2]]
