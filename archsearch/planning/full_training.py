"""The problem of a full training: one network, from scratch, several times perhaps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from archsearch.archive.design import Design
from archsearch.archive.facts import FullTraining
from archsearch.archive.orders import Order
from archsearch.data.dataset import Dataset, load
from archsearch.engines.engine import Machine
from archsearch.errors import UserError
from archsearch.ir.graph import Graph
from archsearch.planning.forecast import Forecast
from archsearch.planning.going_on import Kept, recipe_of
from archsearch.planning.problem import Problem, of_one_batch, prepared
from archsearch.planning.sharing import Sharing, first_sharing
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings, default_study_name
from archsearch.space.knobs import Knob
from archsearch.training.job import Job
from archsearch.units import (
    format_count,
    format_size,
    format_time,
    parse_duration,
    training_flops,
)

_SURELY: Final = 0.9
"""The part of a bound on time that trainings which are to fit are planned to take: forecasts err."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A network that is to be trained in full.

    Attributes:
        make: makes it for these images.
        training: where it is from.
        said: what it is, in a few words.
        name: of the full training, where nobody gives it one; None: by the network and the data.
        input: the images it takes, where it takes one size only and no study says how they get there.
        digest: of the images it was found on, where these are trained on again; empty: any will do.
        recipe: of the study it is from; None: it is from none, or that kept none.
    """

    make: Callable[[Dataset], tuple[Design, Graph]]
    training: FullTraining
    said: str
    name: str | None = None
    input: tuple[int, int, int] | None = None
    digest: str = ""
    recipe: Recipe | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProblem(Problem):
    """One network and the images it is trained on in full."""

    subject: Subject
    design: Design
    graph: Graph

    @property
    def flops(self) -> int:
        """FLOPs of the network, of one image."""
        return self.design.flops

    @property
    def example(self) -> Graph:
        """The network."""
        return self.graph

    @property
    def networks(self) -> Mapping[str, Graph]:
        """The network, by name."""
        return {self.design.name: self.graph}

    def given(self) -> list[tuple[Design, Graph]]:
        """Return the network."""
        return [(self.design, self.graph)]

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """None: there are no trials."""
        return ()

    @property
    def trials(self) -> int:
        """None: nothing is searched."""
        return 0

    @property
    def retrained(self) -> int:
        """None: nothing is searched."""
        return 0

    def plan(self) -> dict[str, Any]:
        """Return the network, and what it is trained on."""
        return {"network": self.what, "train_on": self.settings.train_on}

    def sampled(self, number: int, *, name: str) -> tuple[Design, Graph]:
        """Return the network, whose pace is the one that counts."""
        return replace(self.design, name=name), self.graph

    @property
    def what(self) -> str:
        """What is trained, in a few words."""
        design = self.design
        return (
            f"{self.subject.said}: {design.label}, {format_count(design.flops)} FLOPs an image, "
            f"{format_count(design.params)} parameters"
        )

    @property
    def train_images(self) -> int:
        """Images that are trained on: the validation images, too, where that is asked for."""
        return trained_images(
            self.settings, train=len(self.dataset.train), val=len(self.dataset.val)
        )

    @property
    def usual_name(self) -> str:
        """The name of the full training where nobody gives it one."""
        return self.subject.name or default_study_name(self.settings)

    def job(self, order: Order, graph: str, **more: Any) -> Job:
        """Return an order as a worker is given it."""
        return Problem.job(self, order, graph, train_on=self.settings.train_on, **more)

    def settle(self, settings: RunSettings) -> RunSettings:
        """Return settings with what was found written down, the images' size and the epochs too."""
        own = self.settings
        return replace(Problem.settle(self, settings), epochs=own.epochs, input=own.input)

    def fitted(self, forecast: Forecast) -> "TrainingProblem":
        """Return the problem with as many epochs as fit into a bound on time, the usual number at most.

        A schedule that is cut off is worth little; one that is short is a whole one.

        Raises:
            UserError: not even one fits.
        """
        settings = self.settings
        if settings.max_time is None or settings.epochs is not None or forecast.total_s is None:
            return self
        pace = forecast.pace
        assert pace is not None
        rounds = -(-settings.seeds // self.sharing.workers)
        epoch_s = rounds * self.train_images / pace.images_per_s
        epoch_s += rounds * len(self.dataset.val) / pace.evaluated_per_s / forecast.val_every
        fixed_s = forecast.total_s - forecast.epochs * epoch_s
        fit = int((_SURELY * parse_duration(settings.max_time) - fixed_s) / epoch_s)
        if fit < 1:
            raise UserError(
                f"--max-time {settings.max_time} is too little for an epoch, which takes about "
                f"{format_time(epoch_s)}: give at least --max-time "
                f"{format_time((fixed_s + epoch_s) / _SURELY)}"
            )
        return replace(self, settings=replace(settings, epochs=min(fit, settings.usual_epochs)))


def trained_images(settings: RunSettings, *, train: int, val: int) -> int:
    """Return how many images are trained on, of so many in the two splits."""
    return train + val if settings.train_on == "train+val" else train


def pose_training(
    settings: RunSettings,
    machine: Machine,
    subject: Subject,
    *,
    kept: Kept | None = None,
    progress: Callable[[int, int], None] | None = None,
    notes: tuple[str, ...] = (),
) -> TrainingProblem:
    """Return the problem of a full training, all that is asked for checked (see `problem.pose`).

    Raises:
        UserError: something asked for does not work, or the network does not fit the images.
    """
    inherited = subject.recipe
    if inherited is not None and inherited.name != settings.recipe:
        inherited = None  # another one is asked for
    asked, said = recipe_of(settings, kept, inherited=inherited)
    first_sharing(settings, machine, step_flops=1)
    if subject.input is not None and settings.input is None:
        settings = replace(settings, input="x".join(map(str, subject.input)))
    dataset = load(path := prepared(settings, kept, progress))
    recipe, smaller = of_one_batch(asked, dataset)
    design, graph = subject.make(dataset)
    _check_fit(settings, subject, graph, dataset)
    sharing = _sharing(settings, machine, recipe, training_flops(design.flops, recipe.batch))
    return TrainingProblem(
        settings=settings,
        machine=machine,
        asked=asked,
        recipe=recipe,
        folder=path.resolve(),
        dataset=dataset,
        sharing=sharing,
        notes=(*dataset.notes, *said, *smaller, *notes),
        room_kept=None if kept is None else kept.room_bytes,
        subject=subject,
        design=design,
        graph=graph,
    )


def _check_fit(settings: RunSettings, subject: Subject, graph: Graph, dataset: Dataset) -> None:
    """Refuse images that the network can't be trained on, or that are split otherwise than those before."""
    if graph.input != dataset.input:
        raise UserError(
            f"{subject.said} takes images of {format_size(graph.input)}, and those of {settings.data} "
            f"are prepared as {format_size(dataset.input)}; leave --input out, or give "
            f"--input {'x'.join(map(str, graph.input))}"
        )
    if graph.classes != len(dataset.classes):
        raise UserError(
            f"{subject.said} tells {graph.classes} classes apart, and {settings.data} has "
            f"{len(dataset.classes)}; train a network that was found on such data, or a baseline"
        )
    if subject.digest and subject.digest != dataset.digest:
        raise UserError(
            f"the images of {settings.data} are others, or split otherwise, than those that study "
            f"{subject.training.study!r} was searched on (digest {subject.digest}, now "
            f"{dataset.digest}); give no other --seed, size or shares, and the same images"
        )


def _sharing(settings: RunSettings, machine: Machine, recipe: Recipe, step_flops: int) -> Sharing:
    """Return how trainings share the machine; devices share batches equally, or weigh images differently.

    Raises:
        UserError: the devices asked for can't.
    """
    found = first_sharing(settings, machine, step_flops=step_flops)
    batch, most = recipe.batch, found.devices
    able = next(count for count in range(most, 0, -1) if batch % count == 0)
    if able == most:
        return found
    if settings.devices is None:
        return first_sharing(replace(settings, devices=able), machine, step_flops=step_flops)
    raise UserError(
        f"--devices {most}: they can't share a batch of {batch} images equally; try --devices {able}, "
        f"or --batch-size {most * max(1, batch // most)}"
    )
