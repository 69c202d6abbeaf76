"""The problem a study is to solve, all of it checked before anything is kept."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import ceil, prod
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final, Self

from archsearch.archive.design import Design, design_of, published_design
from archsearch.archive.orders import Length, Order
from archsearch.data.dataset import Dataset, load
from archsearch.data.prepare import prepare
from archsearch.engines.engine import Machine
from archsearch.errors import DataError, UserError
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph
from archsearch.planning.baselines import (
    Classic,
    classics_of,
    named_baselines,
    published_networks,
    wants_matched,
)
from archsearch.planning.going_on import Kept, recipe_of
from archsearch.planning.microbatches import ON_GPU, ON_PROCESSOR, StepPlan, plan_step, room_bytes
from archsearch.planning.sharing import Sharing, first_sharing, settled
from archsearch.readings.workload import Workload, workload
from archsearch.recipes.recipe import Recipe
from archsearch.seeds import derive_seed
from archsearch.settings import RunSettings, default_study_name
from archsearch.space.budget import Budget, Request
from archsearch.space.budgets import knobs_of, slices_of
from archsearch.space.knobs import Knob, draw
from archsearch.space.registry import find_space
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.strategy.fidelity import AUTO, Fidelity, chosen, find_fidelity
from archsearch.strategy.sampler import find_sampler
from archsearch.training.job import Job
from archsearch.units import format_count, parse_bytes, training_flops

if TYPE_CHECKING:
    from archsearch.planning.forecast import Forecast

VAL_SHARE: Final = 0.025
"""The share of a training's FLOPs that evaluating the validation images may take."""
_DRAWN: Final = 24
"""Candidates by which the time of a typical one is judged."""
LEAST_EVALUATIONS: Final = 6
"""Evaluations that a training has at least, whatever their share: curves and pruning need some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(ABC):
    """What is to be trained and on what: what a search and a full training have in common.

    Attributes:
        machine: what the engine can train on.
        asked: the recipe as it was asked for.
        recipe: the same, with batches that there are images for.
        folder: of the prepared dataset.
        sharing: how trainings share the machine, and what they train on.
        notes: what a person should hear of the data and what else was found, one line each.
        room_kept: memory for each training as a study that goes on began (see `room_bytes`); None: it is new.
    """

    settings: RunSettings
    machine: Machine
    asked: Recipe
    recipe: Recipe
    folder: Path
    dataset: Dataset
    sharing: Sharing
    notes: tuple[str, ...] = ()
    room_kept: int | None = None

    @property
    @abstractmethod
    def flops(self) -> int:
        """FLOPs of the largest network that is asked for, of one image."""

    @property
    def typical_flops(self) -> int:
        """FLOPs of the networks on average, of one image."""
        return self.flops

    @property
    def budgets(self) -> int:
        """Budgets that a search fills."""
        return 1

    @property
    @abstractmethod
    def example(self) -> Graph:
        """A network by which the memory of a training step is judged."""

    @property
    @abstractmethod
    def networks(self) -> Mapping[str, Graph]:
        """The networks that are trained as they are, by name."""

    @abstractmethod
    def given(self) -> list[tuple[Design, Graph]]:
        """Return the facts of these networks, and the networks."""

    @property
    @abstractmethod
    def knobs(self) -> tuple[Knob, ...]:
        """The knobs that trials are described by."""

    @property
    @abstractmethod
    def trials(self) -> int:
        """Networks that a search tries."""

    @property
    @abstractmethod
    def retrained(self) -> int:
        """Networks of the search that are retrained."""

    @abstractmethod
    def plan(self) -> dict[str, Any]:
        """Return what a forecast says of the problem alone, by the forecast's fields."""

    @abstractmethod
    def sampled(self, number: int, *, name: str) -> tuple[Design, Graph]:
        """Return a network by which the pace is measured, the same for the same number."""

    def workloads(self) -> list[Workload]:
        """Return the workloads of some networks that will be trained; empty: those that are measured are."""
        return []

    @property
    def train_images(self) -> int:
        """Images that are trained on."""
        return len(self.dataset.train)

    @property
    def usual_name(self) -> str:
        """The name of the study where nobody gives it one."""
        return default_study_name(self.settings)

    def length(self, flops: int) -> Length:
        """Return how long a network of so many FLOPs is trained."""
        return length_of(
            self.settings, flops, train_images=self.train_images, batch=self.recipe.batch
        )

    def scheme(self) -> Fidelity | None:
        """Return the fidelity scheme of the search; None: nothing is searched."""
        return None

    def fitted(self, forecast: "Forecast") -> Self:
        """Return the problem with trainings as long as fit into the bounds, where that is asked for."""
        return self

    @property
    def room_bytes(self) -> int:
        """Memory that a process of a training has for its steps; 0: nobody knows."""
        if self.settings.memory is not None:
            return parse_bytes(self.settings.memory)
        if self.room_kept is not None:
            return self.room_kept
        images = self.train_images * prod(self.dataset.input)
        return room_bytes(self.machine, self.sharing, image_bytes=images)

    def step(self, graph: Graph) -> StepPlan:
        """Return how the batches of a network's training are taken."""
        return plan_step(
            graph,
            self.recipe,
            self.sharing.precision,
            room_bytes=self.room_bytes,
            devices=self.sharing.devices,
            share=self.usable_share,
        )

    @property
    def usable_share(self) -> float:
        """The part of that memory that steps are planned to take."""
        return ON_PROCESSOR if self.sharing.setups[0].gpu is None else ON_GPU

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
            fold=self.settings.fold(order.key.seed, val_images=len(self.dataset.val)),
            backend=self.sharing.backend,
            precision=self.sharing.precision,
            compiled=self.sharing.compiled,
            microbatches=self.step(from_json(graph)).microbatches,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProblem(Problem):
    """A space to search, and the networks that are known already.

    Attributes:
        published: the published baselines to train, by name.
        classic: the space's classic, scaled to the budget.
        classics: those that are trained in the finals, by name (see `classics_of`).
        slices: what is asked for at each of several budgets, the smallest first, `request` being the last;
            empty: there is one budget.
    """

    space: Space
    request: Request
    published: dict[str, Graph]
    classic: Candidate
    classics: Mapping[str, Classic] = field(default_factory=dict)
    slices: tuple[Request, ...] = ()

    @property
    def requests(self) -> tuple[Request, ...]:
        """What is asked for at each budget, also where there is one."""
        return self.slices or (self.request,)

    @property
    def budgets(self) -> int:
        """Budgets that the search fills, each with networks of its own."""
        return len(self.requests)

    @property
    def typical_flops(self) -> int:
        """FLOPs of the networks on average, of one image."""
        return sum(request.budget.high for request in self.requests) // self.budgets

    @property
    def flops(self) -> int:
        """FLOPs of the largest network that is asked for, of one image."""
        return self.request.budget.high

    @property
    def example(self) -> Graph:
        """A network by which the memory of a training step is judged."""
        return self.classic.graph

    @property
    def networks(self) -> Mapping[str, Graph]:
        """The published networks and the classics to train, by name."""
        return self.published | {n: c.candidate.graph for n, c in self.classics.items()}

    @property
    def knobs(self) -> tuple[Knob, ...]:
        """The knobs of the space that are open for this budget, or for any of several."""
        return knobs_of(self.space, self.requests)

    @property
    def trials(self) -> int:
        """Networks that the search tries."""
        return self.settings.trials

    @property
    def retrained(self) -> int:
        """Networks of the search that are retrained: the best, and the classic where it is a trial.

        None without finalists.
        """
        candidates = self.settings.finalists * self.budgets
        return candidates and candidates + (wants_matched(self.settings) and not self.classics)

    @property
    def fidelity(self) -> str:
        """Name of the fidelity scheme: by the length of the trainings, where none is asked for."""
        return chosen(self.settings.fidelity, self.length(self.flops).epochs)

    def scheme(self) -> Fidelity:
        """Return the fidelity scheme, for what it says of lengths."""
        return find_fidelity(self.fidelity)(1)  # how many are chosen by chance changes no length

    def settle(self, settings: RunSettings) -> RunSettings:
        """Return settings with the fidelity scheme written down, too."""
        return replace(Problem.settle(self, settings), fidelity=self.fidelity)

    def plan(self) -> dict[str, Any]:
        """Return the space, its knobs and the budget."""
        knobs = self.knobs
        lowest, highest = self.requests[0].budget, self.requests[-1].budget
        return {
            "space": self.space.name,
            "title": self.space.title,
            "knobs": {knob.name: _range(knob.values()) for knob in knobs},
            "folded": bool(self.settings.fold(1, val_images=len(self.dataset.val))),
            "distinct": sum(
                prod(len(knob.values()) for knob in self.space.knobs(request))
                for request in self.requests
            ),
            "classics": tuple(classic.candidate.title for classic in self.classics.values()),
            "budget": (lowest.low, highest.high),
            "slices": tuple(request.budget.high for request in self.slices),
            "reach": self.space.reach(self.request),
        }

    def given(self) -> list[tuple[Design, Graph]]:
        """Return the published networks and the classics to train."""
        published = [
            (published_design(name, graph, space=self.space, request=self.request), graph)
            for name, graph in self.published.items()
        ]
        classics = [(classic.design, classic.candidate.graph) for classic in self.classics.values()]
        return [*published, *classics]

    def sampled(self, number: int, *, name: str) -> tuple[Design, Graph]:
        """Return the classic, or a candidate drawn by chance: depth costs time that FLOPs do not show."""
        candidate = self.classic
        if number % 2:
            rng = Random(derive_seed(self.settings.seed, "pace", 1))
            knobs = draw(self.space.knobs(self.request), rng)
            candidate = solve(self.space, knobs, self.request)
        return design_of(candidate, name=name, origin="search"), candidate.graph

    def workloads(self) -> list[Workload]:
        """Return those of some candidates drawn by chance."""
        rng = Random(derive_seed(self.settings.seed, "workloads"))
        found = []
        for number in range(_DRAWN):
            request = self.requests[number % len(self.requests)]
            with suppress(UserError):  # not all settings have a network for every budget
                knobs = draw(self.space.knobs(request), rng)
                found.append(solve(self.space, knobs, request).graph)
        return [workload(graph) for graph in found]


def pose(
    settings: RunSettings,
    machine: Machine,
    *,
    kept: Kept | None = None,
    progress: Callable[[int, int], None] | None = None,
    notes: tuple[str, ...] = (),
) -> SearchProblem:
    """Return the problem, all that is asked for checked and the data prepared; nothing else is kept.

    Args:
        settings: what is asked for.
        machine: what the engine can train on.
        kept: of a study that goes on; None: it has not begun.
        progress: called with (images done, images in all) while they are prepared.
        notes: what a person should hear besides.

    Raises:
        UserError: something asked for does not work.
    """
    space = _space_of(settings, machine)
    asked, said = recipe_of(settings, kept)
    dataset = load(path := prepared(settings, kept, progress))
    recipe, smaller = of_one_batch(asked, dataset)
    requests = _requests(settings, recipe, dataset)
    return SearchProblem(
        settings=settings,
        machine=machine,
        space=space,
        asked=asked,
        recipe=recipe,
        folder=path.resolve(),
        dataset=dataset,
        request=requests[-1],
        slices=requests if len(requests) > 1 else (),
        **_networks(settings, space, requests),
        sharing=_sharing(settings, machine, requests[-1].budget, recipe),
        notes=(*dataset.notes, *said, *smaller, *_remarks(space, requests), *notes),
        room_kept=None if kept is None else kept.room_bytes,
    )


def _networks(settings: RunSettings, space: Space, requests: Sequence[Request]) -> dict[str, Any]:
    """Return the networks that a problem knows already, by its fields; the largest budget is the last."""
    request = requests[-1]
    return {
        "published": published_networks(settings, request),
        "classic": solve(space, space.classic_knobs(request), request),
        "classics": classics_of(settings, space, requests),
    }


def _remarks(space: Space, requests: Sequence[Request]) -> tuple[str, ...]:
    """Return what a space has to say of any budget, each line once."""
    return tuple(dict.fromkeys(line for asked in requests for line in space.remarks(asked)))


def _sharing(settings: RunSettings, machine: Machine, budget: Budget, recipe: Recipe) -> Sharing:
    step_flops = training_flops(budget.high, recipe.batch)
    return first_sharing(settings, machine, step_flops=step_flops)


def _requests(settings: RunSettings, recipe: Recipe, dataset: Dataset) -> tuple[Request, ...]:
    """Return what is asked of the space at each budget, the smallest first; mostly there is one."""
    request = Request(
        input=dataset.input,
        classes=len(dataset.classes),
        budget=largest_budget(settings, dataset.input),
        relax=settings.relaxed(),
    )
    _check_length(settings, recipe, dataset, request.budget)
    return slices_of(request, settings.budgets()) or (request,)


def largest_budget(settings: RunSettings, input: tuple[int, int, int]) -> Budget:
    """Return the budget of a search, the largest of several."""
    budgets = settings.budgets()
    return Budget.cap(budgets[-1], input) if budgets else Budget.parse(str(settings.flops), input)


def length_of(settings: RunSettings, flops: int, *, train_images: int, batch: int) -> Length:
    """Return how long a network of so many FLOPs is trained: at least a batch."""
    images = max(settings.images(flops=flops, train_images=train_images), batch)
    return Length(images, -(-images // train_images))


def _space_of(settings: RunSettings, machine: Machine) -> Space:
    """Return the space; what is misspelt of what is asked for is refused before the data is prepared."""
    space = find_space(str(settings.space))
    first_sharing(settings, machine, step_flops=1)
    named_baselines(settings)
    find_sampler(settings.sampler)
    if settings.fidelity != AUTO:
        find_fidelity(settings.fidelity)
    space.check_relaxed(Request((32, 32, 3), 2, Budget(1, 1), settings.relaxed()))
    return space


def prepared(
    settings: RunSettings, kept: Kept | None, progress: Callable[[int, int], None] | None
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
        if kept is None or not kept.images.is_dir() or Path(settings.data).exists():
            raise
        return kept.images


def of_one_batch(recipe: Recipe, dataset: Dataset) -> tuple[Recipe, tuple[str, ...]]:
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


def _range(values: tuple[Any, ...]) -> str:
    if len(values) > 2 and all(type(v) is int for v in values):
        first, last = values[0], values[-1]
        if values == tuple(range(first, last + 1)):
            return f"{first} to {last}"
    return ", ".join(("yes" if v else "no") if isinstance(v, bool) else str(v) for v in values)
