"""What is known before a study is made, all of it checked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Final

from archsearch.data.dataset import Dataset, load
from archsearch.data.prepare import prepare
from archsearch.errors import DataError, UserError
from archsearch.ir.graph import Graph
from archsearch.planning.baselines import named_baselines, published_networks
from archsearch.planning.sharing import Sharing, first_sharing
from archsearch.settings import RunSettings
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.training.recipe import Recipe, find_recipe
from archsearch.units import format_count

VAL_SHARE: Final = 0.025
"""Of a training's FLOPs, what evaluating the validation images may take,"""
LEAST_EVALUATIONS: Final = 6
"""unless there were fewer evaluations then: learning curves and pruning need some."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The space, the data and the networks that are known already.

    Attributes:
        folder: of the prepared dataset.
        published: the published baselines to train, by name.
        classic: the space's classic, scaled to the budget.
        sharing: how trials share the machine, and what they train on.
    """

    settings: RunSettings
    space: Space
    recipe: Recipe
    folder: Path
    dataset: Dataset
    request: Request
    published: dict[str, Graph]
    classic: Candidate
    sharing: Sharing

    def length(self, flops: int) -> tuple[int, int]:
        """Return the images a network of so many FLOPs sees in training, and the epochs these are."""
        train = len(self.dataset.train)
        images = self.settings.images(flops=flops, train_images=train)
        images = max(images, self.recipe.batch)
        return images, -(-images // train)

    def val_every(self, epochs: int) -> int:
        """Return the epochs from one evaluation of the validation images to the next, of so many in all."""
        if self.settings.val_every is not None:
            return self.settings.val_every
        # An image costs its forward pass here, and two more of them for the backward pass in training.
        share = len(self.dataset.val) / (3 * len(self.dataset.train))
        return max(1, min(ceil(share / VAL_SHARE), epochs // LEAST_EVALUATIONS))


def prepare_run(
    settings: RunSettings,
    *,
    kept: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Check what is asked for and prepare the data; nothing else is kept.

    Args:
        settings: what is asked for.
        kept: the images of a study that is gone on with, prepared when it began; they do where the
            data is no longer there.
        progress: called with (images done, images in all) while they are prepared.

    Raises:
        UserError: something asked for does not work.
    """
    space = find_space(settings.space)
    recipe = find_recipe(settings.recipe)
    if settings.batch_size is not None:
        recipe = replace(recipe, batch=settings.batch_size)
    if settings.ema is not None:
        recipe = replace(recipe, ema=settings.ema)
    if settings.class_weights:
        recipe = replace(recipe, class_weights=True)
    # Misspelt names show before the data is prepared.
    first_sharing(settings, step_flops=1)
    named_baselines(settings)
    space.check_relaxed(Request((32, 32, 3), 2, Budget(1, 1), settings.relaxed()))
    try:
        path = prepare(
            settings.data,
            home=Path(settings.home),
            input=settings.image_size,
            resize=settings.resize,
            seed=settings.seed,
            val=settings.val_fraction,
            test=settings.test_fraction,
            mirror=settings.mirror,
            strict=settings.strict,
            progress=progress,
        )
    except DataError:
        if kept is None or not kept.is_dir() or Path(settings.data).exists():
            raise
        path = kept
    dataset = load(path)
    if recipe.batch > len(dataset.train):
        raise UserError(
            f"a batch of {recipe.batch} is larger than the {len(dataset.train)} images to "
            f"train on; give a smaller --batch-size"
        )
    budget = Budget.parse(settings.flops, dataset.input)
    request = Request(
        input=dataset.input,
        classes=len(dataset.classes),
        budget=budget,
        relax=settings.relaxed(),
    )
    images = settings.images(flops=budget.high, train_images=len(dataset.train))
    if images < recipe.batch:
        least = format_count(3 * budget.high * len(dataset.train))
        raise UserError(
            f"{settings.train_flops} training FLOPs are {images} images of {settings.flops}, not "
            f"even a batch of {recipe.batch}; one epoch takes {least}"
        )
    return Prepared(
        settings=settings,
        space=space,
        recipe=recipe,
        folder=path.resolve(),
        dataset=dataset,
        request=request,
        published=published_networks(settings, request),
        classic=solve(space, space.classic_knobs(request), request),
        sharing=first_sharing(settings, step_flops=3 * budget.high * recipe.batch),
    )
