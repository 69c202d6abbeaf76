"""The batches of a job: which images, in which order, changed in which way; made beside the steps."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from archsearch.augmentation.apply import NUMPY, augment, paired
from archsearch.augmentation.policy import policy_for
from archsearch.augmentation.transforms import draw
from archsearch.data.dataset import Dataset
from archsearch.training.backends.base import Steps
from archsearch.training.job import Job
from archsearch.training.teams.team import ALONE, Team, share


class Batch(NamedTuple):
    """What a step is taken with.

    Attributes:
        images, labels: as a backend's steps take them.
        share: of the first of two labels in the loss.
    """

    images: Any
    labels: Any
    share: float


def batches_of(
    data: Dataset,
    job: Job,
    pool: ThreadPoolExecutor,
    steps: Steps,
    first: int = 0,
    *,
    team: Team = ALONE,
) -> Iterator[Batch]:
    """Augmented batches without end, from step `first`; each is made while the last is in use.

    Images come in the order of one permutation after another, so that a batch may span two epochs:
    all batches are of one size, and no image is left out. A batch depends on the seed and on its
    number alone, so that a job can go on anywhere. Each process of a team makes the whole batch, as what
    is done to an image may depend on the others, and takes its share.
    """
    train = data.train
    policy = policy_for(
        data.input, mirror=data.mirror, mean=data.mean, asked=job.recipe, images=train.images
    )
    held = steps.hold(train, policy)

    def cut(step: int, indices: npt.NDArray[np.int64]) -> Batch:
        rng = np.random.default_rng([job.seed, 1, step])
        transforms = draw(policy, data.input, len(indices), rng)
        if held is not None:
            return Batch(*held(indices, transforms), transforms.share)
        images = augment(train.images[indices], policy, transforms)
        return Batch(images, paired(NUMPY, train.labels[indices], transforms), transforms.share)

    order = _order(len(train), job.recipe.batch, job.seed, first)
    own = share(job.recipe.batch, team)
    coming = pool.submit(cut, first, next(order))
    for step, indices in enumerate(order, first + 1):
        batch = coming.result()
        coming = pool.submit(cut, step, indices)
        yield batch._replace(images=batch.images[own], labels=batch.labels[own])


def _order(count: int, batch: int, seed: int, first: int) -> Iterator[npt.NDArray[np.int64]]:
    number, offset = divmod(first * batch, count)
    left = np.empty(0, np.int64)
    while True:
        while len(left) < batch:
            permutation = np.random.default_rng([seed, 0, number]).permutation(count)
            left = np.concatenate([left, permutation[offset:]])
            number, offset = number + 1, 0
        yield left[:batch]
        left = left[batch:]
