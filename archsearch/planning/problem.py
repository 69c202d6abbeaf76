"""The problem a study is to solve, all of it checked before anything is kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any, Final

from archsearch.archive.orders import Length, Order
from archsearch.data.dataset import Dataset, load
from archsearch.data.prepare import prepare
from archsearch.engines.engine import Machine
from archsearch.errors import DataError, UserError
from archsearch.ir.graph import Graph
from archsearch.planning.baselines import named_baselines, published_networks
from archsearch.planning.sharing import Sharing, first_sharing, settled
from archsearch.settings import RunSettings
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.strategy.fidelity import find_fidelity
from archsearch.strategy.sampler import find_sampler
from archsearch.training.job import Job
from archsearch.training.recipe import Recipe
from archsearch.training.recipes import recipe_for
from archsearch.units import format_count, training_flops

VAL_SHARE: Final = 0.025
"""The share of a training's FLOPs that evaluating the validation images may take."""
LEAST_EVALUATIONS: Final = 6
"""Evaluations that a training has at least, whatever their share: curves and pruning need some."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The space, the data and the networks that are known already.

    Attributes:
        machine: what the engine can train on.
        folder: of the prepared dataset.
        published: the published baselines to train, by name.
        classic: the space's classic, scaled to the budget.
        sharing: how trials share the machine, and what they train on.
        notes: what a person should hear of the data and what else was found, one line each.
    """

    settings: RunSettings
    machine: Machine
    space: Space
    recipe: Recipe
    folder: Path
    dataset: Dataset
    request: Request
    published: dict[str, Graph]
    classic: Candidate
    sharing: Sharing
    notes: tuple[str, ...] = ()

    def length(self, flops: int) -> Length:
        """Return how long a network of so many FLOPs is trained."""
        train = len(self.dataset.train)
        return length_of(self.settings, flops, train_images=train, batch=self.recipe.batch)

    def job(self, order: Order, graph: str, **more: Any) -> Job:
        """Return an order as a worker is given it.

        Args:
            order: the training.
            graph: Graph JSON of its network.
            more: fields of the job that do not follow from these.
        """
        return Job(
            key=str(order.key),
            graph=graph,
            dataset=str(self.folder),
            recipe=self.recipe,
            images=order.length.images,
            seed=order.seed,
            backend=self.sharing.backend,
            precision=self.sharing.precision,
            compiled=self.sharing.compiled,
            val_every=self.val_every(order.length.epochs),
            **more,
        )

    def settle(self, settings: RunSettings) -> RunSettings:
        """Return settings with how the machine is shared written down: a resumed study keeps to it."""
        return settled(settings, self.sharing)

    def val_every(self, epochs: int) -> int:
        """Return the epochs from one evaluation of the validation images to the next, of so many in all."""
        if self.settings.val_every is not None:
            return self.settings.val_every
        # In FLOPs of a forward pass: that is what evaluating an image costs.
        share = len(self.dataset.val) / training_flops(1, len(self.dataset.train))
        return max(1, min(ceil(share / VAL_SHARE), epochs // LEAST_EVALUATIONS))


def pose(
    settings: RunSettings,
    machine: Machine,
    *,
    kept: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    notes: tuple[str, ...] = (),
) -> Problem:
    """Return the problem, all that is asked for checked and the data prepared; nothing else is kept.

    Args:
        settings: what is asked for.
        machine: what the engine can train on.
        kept: images prepared when a study began that now goes on; they do where the data is gone.
        progress: called with (images done, images in all) while they are prepared.
        notes: what a person should hear besides.

    Raises:
        UserError: something asked for does not work.
    """
    space = find_space(settings.space)
    recipe = recipe_for(settings)
    _check_names(settings, machine, space)
    dataset = load(path := _prepared(settings, kept, progress))
    recipe, smaller = _of_one_batch(recipe, dataset)
    request = _request(settings, recipe, dataset)
    step_flops = training_flops(request.budget.high, recipe.batch)
    return Problem(
        settings=settings,
        machine=machine,
        space=space,
        recipe=recipe,
        folder=path.resolve(),
        dataset=dataset,
        request=request,
        published=published_networks(settings, request),
        classic=solve(space, space.classic_knobs(request), request),
        sharing=first_sharing(settings, machine, step_flops=step_flops),
        notes=(*dataset.notes, *smaller, *notes),
    )


def _request(settings: RunSettings, recipe: Recipe, dataset: Dataset) -> Request:
    request = Request(
        input=dataset.input,
        classes=len(dataset.classes),
        budget=Budget.parse(settings.flops, dataset.input),
        relax=settings.relaxed(),
    )
    _check_length(settings, recipe, dataset, request.budget)
    return request


def length_of(settings: RunSettings, flops: int, *, train_images: int, batch: int) -> Length:
    """Return how long a network of so many FLOPs is trained: at least a batch."""
    images = max(settings.images(flops=flops, train_images=train_images), batch)
    return Length(images, -(-images // train_images))


def _check_names(settings: RunSettings, machine: Machine, space: Space) -> None:
    """Refuse what is misspelt before the data is prepared."""
    first_sharing(settings, machine, step_flops=1)
    named_baselines(settings)
    find_sampler(settings.sampler)
    find_fidelity(settings.fidelity)
    space.check_relaxed(Request((32, 32, 3), 2, Budget(1, 1), settings.relaxed()))


def _prepared(
    settings: RunSettings, kept: Path | None, progress: Callable[[int, int], None] | None
) -> Path:
    """Return the folder of the prepared images."""
    try:
        return prepare(
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
        return kept


def _of_one_batch(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe with no larger batches than there are images, and what is to be said of it."""
    train = len(dataset.train)
    if recipe.batch <= train:
        return recipe, ()
    note = f"there are {train} images to train on: a batch has {train} of them, not {recipe.batch}"
    return replace(recipe, batch=train), (note,)


def _check_length(settings: RunSettings, recipe: Recipe, dataset: Dataset, budget: Budget) -> None:
    """Refuse trainings that are not even a batch long."""
    train = len(dataset.train)
    images = settings.images(flops=budget.high, train_images=train)
    if images < recipe.batch:
        least = format_count(training_flops(budget.high, train))
        raise UserError(
            f"{settings.train_flops} training FLOPs are {images} images of {settings.flops}, not "
            f"even a batch of {recipe.batch}; one epoch takes {least}"
        )
