"""How a training fits into memory: what a step takes, and in how many parts a batch is taken."""

import math
from dataclasses import dataclass
from typing import Final

from archsearch.engines.engine import Machine
from archsearch.ir.graph import Graph
from archsearch.planning.sharing import Sharing
from archsearch.readings.cost import BYTES_PER_ELEMENT
from archsearch.readings.memory import TrainingMemory, training_memory
from archsearch.recipes.recipe import Precision, Recipe
from archsearch.training.backends.base import HELD_SHARE

FRAMEWORK_BYTES: Final = 350_000_000
"""Main memory of a worker that has imported its framework: PyTorch 0.16 GB, JAX 0.21, TensorFlow 0.34."""
ON_PROCESSOR: Final = 0.6
"""The part of the room that steps are planned to take. A process grows by 1.1 to 1.65 times as much: its
blocks leave gaps, and convolutions need some while they compute (benchmarks/RESULTS.md)."""
ON_GPU: Final = 0.8
"""The same of a GPU, whose frameworks have pools of their own: a guess, until it is measured."""
_HALF: Final = 2
"""Bytes of a number of a map in bfloat16."""
_MEANS: Final = {"sgd": 1, "adamw": 2}
"""Numbers that an optimizer keeps of each parameter."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """How a batch is taken.

    Attributes:
        microbatches: in how many parts, by each process of a training.
        images: of the largest part.
        memory: what a step of it takes.
        fits: whether that is there; of one image it may not be.
    """

    microbatches: int
    images: int
    memory: TrainingMemory
    fits: bool = True


def plan_step(
    graph: Graph,
    recipe: Recipe,
    precision: Precision,
    *,
    room_bytes: int,
    devices: int = 1,
    share: float = ON_PROCESSOR,
) -> StepPlan:
    """Return how the batches of a training are taken: whole, or in the fewest parts that fit.

    A step of n images takes a·n + b bytes (`readings.memory`), so that n = (room − b) / a of them fit.

    Args:
        graph: the network.
        recipe: batch and optimizer.
        precision: that its maps are computed in.
        room_bytes: for each process; 0: nobody knows, and batches are taken whole.
        devices: processes that share a batch.
        share: of the room, that is planned with.
    """
    own, usable = recipe.batch // devices, share * room_bytes
    whole = step_memory(graph, recipe, precision, images=own)
    if not room_bytes or whole.total_bytes <= usable:
        return StepPlan(1, own, whole)
    one = step_memory(graph, recipe, precision, images=1)
    summed = one.weight_bytes  # the gradients of all parts
    left = usable - one.fixed_bytes - summed
    parts = math.ceil(own / max(1, min(own, int(left / one.activation_bytes))))
    images = math.ceil(own / parts)
    memory = step_memory(graph, recipe, precision, images=images)
    return StepPlan(parts, images, memory, fits=memory.total_bytes <= room_bytes)


def step_memory(
    graph: Graph, recipe: Recipe, precision: Precision, *, images: int
) -> TrainingMemory:
    """Return what a step of so many images takes."""
    return training_memory(
        graph,
        batch=images,
        element_bytes=_HALF if precision == "bfloat16" else BYTES_PER_ELEMENT,
        states=_MEANS[recipe.optimizer] + (recipe.ema is not None),
    )


def room_bytes(machine: Machine, sharing: Sharing, *, image_bytes: int) -> int:
    """Return the memory that a process of a training has for its steps; 0: nobody knows.

    Args:
        machine: what there is: what is free of main memory, or all of a GPU's.
        sharing: who shares it.
        image_bytes: of the images that are trained on: a GPU that has room for them holds them.
    """
    setups = sharing.setups
    if setups[0].gpu is None:
        share = machine.memory_bytes // (len(setups) * sharing.devices)
        # A worker's own memory may be counted in what is free, or not: it may run already.
        return max(share - FRAMEWORK_BYTES, share // 2)
    share = int((machine.gpu_memory_bytes or 0) * min(setup.memory_share for setup in setups))
    return share - image_bytes if 2 * image_bytes <= HELD_SHARE * share else share
