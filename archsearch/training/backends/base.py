"""What every backend offers: a network with its optimizer, called with batches of uint8 images."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from archsearch.augmentation.policy import Policy
from archsearch.augmentation.transforms import Transforms
from archsearch.data.dataset import Split
from archsearch.ir.graph import Graph
from archsearch.recipes.recipe import Precision, Recipe
from archsearch.training.teams.team import ALONE, Team
from archsearch.training.weights import Weights

AUXILIARY_WEIGHT: Final = 0.3
"""Of an auxiliary classifier's loss: Szegedy et al. 2014 (arXiv:1409.4842), section 5."""
HELD_SHARE: Final = 0.3
"""Of a GPU's free memory that images may take."""
SQUARE_FLOOR: Final = 1e-8
"""What AdamW adds to the root of a mean square, so that none is 0 (Kingma & Ba 2015, arXiv:1412.6980)."""

Images: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What to train, as every backend is given it.

    Attributes:
        graph: the network.
        recipe: optimizer and loss; the learning rate comes with every step.
        mean, std: of the images, per channel, on the 0..255 scale.
        class_weights: of each class in the training loss; None: every image counts alike.
        seed: of the weights and of dropout.
        precision: of the forward and backward pass, also in evaluation; weights and statistics are
            float32 always.
        compiled: whether a compiler fuses the step's operations: XLA on TensorFlow (and always on JAX),
            Inductor on PyTorch.
        team: the processes that train it together, each given its share of every batch.
        steps: that it will be trained for: what makes each of them faster has to pay for itself.
        microbatches: in how many parts a process takes its share of a batch, one after another, where all of
            it does not fit into memory at once.
    """

    graph: Graph
    recipe: Recipe
    mean: Sequence[float]
    std: Sequence[float]
    class_weights: Sequence[float] | None = None
    seed: int = 0
    precision: Precision = "float32"
    compiled: bool = False
    team: Team = ALONE
    steps: int = 1
    microbatches: int = 1

    @property
    def parts(self) -> tuple[slice, ...]:
        """The microbatches of a process's share of a batch; one: it is not cut."""
        return cut(self.recipe.batch // self.team.size, self.microbatches)

    @property
    def image_mean(self) -> npt.NDArray[np.float32]:
        """What is subtracted from an image, per channel."""
        return np.asarray(self.mean, np.float32)

    @property
    def image_scale(self) -> npt.NDArray[np.float32]:
        """What the difference is multiplied by, per channel."""
        scale = 1 / np.maximum(np.asarray(self.std, np.float32), np.float32(1e-3))
        return scale.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How far one step moves things.

    Attributes:
        learning: the learning rate.
        statistics: the batch's share in the moving statistics of batch normalizations.
        average: the new weights' share in the averaged ones (recipes with `ema`).
        share: of an image's first label in the loss, where it has two.
        step: of the training, from 1: means over few steps are AdamW's to correct.
    """

    learning: float
    statistics: float
    average: float = 1.0
    share: float = 1.0
    step: int = 1

    def numbers(self) -> npt.NDArray[np.float32]:
        """Return them in order, (5,)."""
        values = (self.learning, self.statistics, self.average, self.share, self.step)
        return np.asarray(values, np.float32)


def cut(images: int, parts: int) -> tuple[slice, ...]:
    """Cut so many images into parts, as equal as they can be; none is larger than the first one."""
    parts = min(parts, images)
    ends = [-(-images * (part + 1) // parts) for part in range(parts)]
    return tuple(slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False))


Held: TypeAlias = Callable[[Labels, Transforms], tuple[Any, Any]]
"""Images on the device: from their numbers and transforms to (images, labels) for `train`."""


class Steps(Protocol):
    """A network with its optimizer's state."""

    device: str
    """What it trains on; empty for the processor."""

    def hold(self, split: Split, policy: Policy) -> Held | None:
        """Have images augmented where they are trained on; None: batches come as arrays."""

    def train(self, images: Any, labels: Any, rates: Rates) -> Any:
        """Take a step with a batch of uint8 images (n, height, width, channels); `read` reads the result.

        Labels are (n,), or (n, 2) where the recipe mixes images (Zhang et al. 2018, arXiv:1710.09412): loss
        and correct answers are then `rates.share` of the first label's, and the rest of the second's. Of a
        batch that is cut the gradients of all parts are added, each by its share of the images, and the
        weights move once.
        """

    def read(self, results: Sequence[Any]) -> npt.NDArray[np.float64]:
        """Wait for steps; return the sums of their mean losses and of their correct answers, (2,)."""

    def evaluate(self, images: Images, labels: Labels) -> tuple[float, Labels]:
        """Return the summed cross-entropy and the answers: the number of a class an image."""

    def probabilities(self, images: Images) -> npt.NDArray[np.float32]:
        """Return the probability of every class, (n, classes)."""

    def averaged(self) -> AbstractContextManager[None]:
        """Have `evaluate` and `weights` use the averaged weights, in recipes with `ema`."""

    def weights(self) -> Weights:
        """Copy the weights, keyed and shaped as any backend reads them."""

    def state(self) -> list[npt.NDArray[Any]]:
        """Copy all that changes in training: weights, statistics, momenta, the state of chance."""

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Put back what `state` returned."""
