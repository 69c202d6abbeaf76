"""What changing the images costs beside a training step, on one thread.

python benchmarks/augmentation.py [--side 32] [--flops 20M]
"""

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from archsearch.augmentation.apply import augment
from archsearch.augmentation.policy import policy_for
from archsearch.augmentation.transforms import draw
from archsearch.recipes.named import NAMED
from archsearch.recipes.recipe import Recipe, with_parts
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.training.backends.base import Rates, Task
from archsearch.training.backends.choice import make_steps

BATCH = 32
PARTS = {
    "scale": {"scale": "1.14,2.29", "shift": 0.0},
    "crop_area": {"crop_area": 0.08, "shift": 0.0},
    "pca_colour": {"pca_colour": 0.1},
    "randaugment 2": {"randaugment": 2},
    "cutout": {"cutout": 0.5},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
}


def mean_s(call, numbers, tries=3):
    """Return the mean time of calls, each the shortest of some: other work only makes them longer."""
    shortest = []
    for number in numbers:
        times = []
        for _ in range(tries):
            begin = time.perf_counter()
            call(number)
            times.append(time.perf_counter() - begin)
        shortest.append(min(times))
    return sum(shortest) / len(shortest)


def step_s(flops, size, images):
    """Return the time of a training step of the resnet space's classic, on PyTorch."""
    space, request = find_space("resnet"), Request(size, 10, Budget.parse(flops, size))
    graph = solve(space, space.classic_knobs(request), request).graph
    task = Task(graph=graph, recipe=Recipe(batch=BATCH), mean=[120.0] * 3, std=[60.0] * 3)
    steps, labels = make_steps("torch", task), np.arange(BATCH) % 10
    rates = Rates(learning=0.01, statistics=0.1)
    return mean_s(lambda _: steps.read([steps.train(images, labels, rates)]), range(4), tries=6)


def main():
    """Print a line a recipe and a part: milliseconds a batch, images a second, share of a step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--flops", default="20M")
    given = parser.parse_args()
    size = (given.side, given.side, 3)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *size), dtype=np.uint8)
    step = step_s(given.flops, size, images)
    print(
        f"a step of {given.flops} at {given.side} pixels: {1e3 * step:.1f} ms, {BATCH / step:.0f} images/s"
    )
    recipes = {named.recipe.name: named.recipe for named in NAMED}
    recipes |= {name: with_parts(Recipe(), parts) for name, parts in PARTS.items()}
    for name, recipe in recipes.items():
        policy = policy_for(size, mirror=True, mean=(120.0,) * 3, asked=recipe, images=images)

        def batch(number, policy=policy):
            transforms = draw(policy, size, BATCH, np.random.default_rng([0, 1, number]))
            augment(images, policy, transforms)

        took = mean_s(batch, range(30))
        print(
            f"{name:22} {1e3 * took:7.2f} ms {BATCH / took:9.0f} images/s {took / step:6.1%} of a step"
        )


if __name__ == "__main__":
    main()
