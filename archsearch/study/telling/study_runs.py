"""What a tracker is told of a study as it begins, and of its place among others."""

from archsearch.archive.facts import DatasetFacts
from archsearch.errors import UserError
from archsearch.fields import Value
from archsearch.planning.problem import largest_budget
from archsearch.recipes.kept import values_of
from archsearch.recipes.named import written
from archsearch.recipes.recipe import Recipe
from archsearch.settings import PART, RunSettings
from archsearch.space.registry import find_space
from archsearch.study.observers import dataset_record
from archsearch.tracking.records import StudyRecord
from archsearch.tracking.run_names import study_note
from archsearch.units import format_count, format_size
from archsearch.uris import shown_uri


def study_record(
    name: str,
    settings: RunSettings,
    *,
    dataset: DatasetFacts,
    recipe: Recipe | None,
    classes: int,
) -> StudyRecord:
    """Return a study as it is told of when it begins, or goes on.

    Args:
        name: of the study.
        settings: of the run.
        dataset: its images.
        recipe: all of it; None: an earlier version did not keep it.
        classes: of the images; the storage keeps the names of the first thousand.
    """
    return StudyRecord(
        name=name,
        space=settings.space or "",
        budget=settings.flops or "",
        dataset=dataset_record(dataset, classes=classes),
        settings=_params(settings, recipe),
        description=study_note(facts=first_line(settings, dataset)),
    )


def first_line(settings: RunSettings, dataset: DatasetFacts) -> dict[str, str | int]:
    """Return what a study's description begins with: what is searched, under which budget, on what."""
    height, width, channels = dataset.input
    if settings.network is not None:
        what = {"network": settings.network, "trained on": settings.train_on}
    else:
        each = ", ".join(map(format_count, settings.budgets()))
        one = largest_budget(settings, (height, width, channels))
        what = {
            "space": _title(str(settings.space)),
            "budget": f"{each} FLOPs" if each else str(one),
        }
    return {**what, "data": f"{dataset.name}, {format_size(dataset.input)}", "seed": settings.seed}


def _params(settings: RunSettings, recipe: Recipe | None) -> dict[str, Value]:
    """Return the settings, and every part of the recipe, as what it was trained with."""
    found = {
        key: shown_uri(value) if isinstance(value, str) else value
        for key, value in settings.to_dict().items()
    }
    parts = {} if recipe is None else values_of(recipe)
    return found | {
        f"{PART}{part}": written(value) for part, value in parts.items() if part != "name"
    }


def _title(space: str) -> str:
    try:
        return find_space(space).title
    except UserError:  # its package is not installed here
        return space
