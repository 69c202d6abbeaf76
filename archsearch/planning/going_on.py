"""What a study that goes on has kept, and the recipe that follows from it."""

from dataclasses import dataclass
from pathlib import Path

from archsearch.recipes.kept import has_changed
from archsearch.recipes.named import recipe_for
from archsearch.recipes.recipe import Recipe, with_parts
from archsearch.settings import RunSettings


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a study that goes on.

    Attributes:
        images: prepared when it began; they do where the data is gone.
        recipe: its own; None: an earlier version did not keep it.
        room_bytes: memory for each training as it began; None: likewise.
    """

    images: Path
    recipe: Recipe | None
    room_bytes: int | None = None


def recipe_of(
    settings: RunSettings, kept: Kept | None, *, inherited: Recipe | None = None
) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe to train by, and what a person should hear of it.

    Args:
        settings: what is asked for.
        kept: of a study that goes on: with its own recipe, whatever the name means today.
        inherited: the recipe of the study that a network is from, on which parts may be set.

    Raises:
        UserError: there is none of that name, or a part that is set does not work.
    """
    if kept is None and inherited is None:
        return recipe_for(settings), ()
    own = inherited and with_parts(inherited, settings.parts()) if kept is None else kept.recipe
    if own is None:
        note = (
            "the study began with a version that did not keep all of its recipe: it goes on with "
            f"{settings.recipe} as it is now"
        )
        return recipe_for(settings), (note,)
    return own, tuple(filter(None, [has_changed(own, settings)]))
