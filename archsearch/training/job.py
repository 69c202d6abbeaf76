"""What goes between the driver and its workers: jobs one way, reports and outcomes the other.

Plain JSON-able values, so that the same seam carries pipes, files and other machines.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self, TypeAlias

from archsearch.recipes.recipe import Precision, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One network to train once."""

    key: str
    """Unique in a study and fit for a file name: `trial-0007`, `final-0007-seed1`."""
    graph: str
    """Graph JSON (archsearch.ir.codec)."""
    dataset: str
    """Folder of a prepared dataset (archsearch.data)."""
    recipe: Recipe
    images: int
    """Images seen in training, all epochs together; the last epoch may be partial."""
    seed: int
    backend: str = "tensorflow"
    """What trains it (archsearch.training.backends)."""
    precision: Precision = "float32"
    compiled: bool = False
    """Have a compiler fuse the training step's operations (see Task)."""
    microbatches: int = 1
    """In how many parts each batch is taken, one after another: all of it may not fit into memory at once."""
    test: bool = False
    """Evaluate the test split, once, after training (finalists only)."""
    weights: str | None = None
    """Where the final weights go (archsearch.training.weights: a NumPy `.npz` file)."""
    train_on: Literal["train", "train+val"] = "train"
    """The splits whose images are trained on; where the validation images are, nothing is validated."""
    fold: int = 0
    """Which split of the training and validation images (archsearch.data.folds); 0: as they were prepared."""
    val_every: int = 1
    """Epochs from one evaluation of the validation images to the next (see `is_evaluated`)."""
    checkpoint: str | None = None
    """Folder to go on from and to leave a checkpoint in after every epoch; whoever keeps the
    outcome removes it (archsearch.training.checkpoint)."""

    measure_s: float | None = None
    """Only measure the pace, for about so long, and keep nothing (archsearch.training.measuring)."""

    @property
    def at_once(self) -> int:
        """Images of the largest part of a batch."""
        return -(-self.recipe.batch // self.microbatches)

    @property
    def evaluated_at_once(self) -> int | None:
        """Images that are evaluated at once where memory is short, as many as are trained on; else None."""
        return self.at_once if self.microbatches > 1 else None

    @property
    def finer(self) -> Self | None:
        """The job in twice as many parts; None: they are of one image already."""
        parts = min(2 * self.microbatches, self.recipe.batch)
        return replace(self, microbatches=parts) if parts > self.microbatches else None

    @property
    def steps(self) -> int:
        """Steps of the whole job: images seen, to the nearest batch, and at least one."""
        return max(1, round(self.images / self.recipe.batch))

    def epochs_left(self, train_images: int, *, done: int) -> Iterator[tuple[int, range]]:
        """Give the epochs that are left after so many steps: their numbers, from 1, and their steps."""
        last = self.epochs(train_images)
        for epoch in range(1, last + 1):
            end = min(self.steps, max(epoch, round(epoch * train_images / self.recipe.batch)))
            if epoch == last:
                end = self.steps
            if end > done:
                yield epoch, range(done, end)
                done = end

    def epochs(self, train_images: int) -> int:
        """Count the epochs, the last perhaps partial, over a training split of that size."""
        return math.ceil(self.images / train_images)

    def evaluates(self, epoch: int, train_images: int) -> bool:
        """Whether the validation images are evaluated after an epoch (1-based)."""
        if self.train_on != "train":
            return False
        return is_evaluated(epoch, epochs=self.epochs(train_images), every=self.val_every)


def is_evaluated(epoch: int, *, epochs: int, every: int) -> bool:
    """Whether the validation images are evaluated after an epoch (1-based): always the first and the last."""
    return epoch in (1, epochs) or epoch % every == 0


def evaluation_count(*, epochs: int, every: int) -> int:
    """Count the epochs after which the validation images are evaluated."""
    first_or_last = {epoch for epoch in (1, epochs) if epoch % every}
    return epochs // every + len(first_or_last)


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochReport:
    """How a job stands after an epoch (1-based)."""

    key: str
    epoch: int
    loss: float
    """Mean training loss over the epoch, label smoothing included, weight decay not."""
    accuracy: float
    val_loss: float | None = None
    """Mean cross-entropy, without label smoothing; None, as all of `val_…`: not evaluated this time."""
    val_accuracy: float | None = None
    images_per_s: float
    """Training images a second, validation not counted."""
    learning_rate: float
    """Of the epoch's last step."""
    wall_s: float
    """Since the job began; of an interrupted one, while it ran."""
    images: int = 0
    """Images seen in training so far."""
    val_balanced_accuracy: float | None = None
    """The mean over the classes of each one's validation accuracy."""
    before: int = 0
    """Epochs that were begun in a first try, which stalled; 0: this is the first try."""
    outdated: bool = False
    """Told once more by a job that goes on from a checkpoint, which has later epochs behind it."""


Cause: TypeAlias = Literal["network", "worker", "machine"]
"""What a failure is due to: the network itself; the process, which is of no use any more, as a GPU's is
after an error of no known kind; or the machine: a full disk, a lost GPU, images that are gone hit every
network alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job ended. Accuracies are those of the last evaluated epoch, never the best over epochs."""

    key: str
    status: Literal["complete", "pruned", "failed"]
    reason: str = ""
    """Why it was pruned or failed, or what it stalled at, in one line."""
    epochs: int = 0
    """Epochs finished."""
    images: int = 0
    """Images seen in training, those before an interruption and of a first try that stalled too."""
    stalled: bool = False
    """Whether nothing was learnt: it diverged, or ended no better than guessing; of two tries in both."""
    rate_share: float = 1.0
    """Of the recipe's learning rate; below 1: this is of a second try, as the first one stalled."""
    microbatches: int = 1
    """In how many parts its batches were taken, at its end."""
    val_accuracy: float | None = None
    val_loss: float | None = None
    test_accuracy: float | None = None
    test_loss: float | None = None
    train_s: float = 0.0
    """In training steps alone."""
    total_s: float = 0.0
    """From the job's arrival to its outcome; of an interrupted one, while it ran."""
    peak_rss_bytes: int = 0
    """Largest resident memory of the worker in this job, what it has mapped of files counted in."""
    held_bytes: int = 0
    """What the worker holds as the job ends, files not counted: it may have grown."""
    cause: Cause = "network"
    """What a failure is due to; without a meaning where it did not fail."""
    worker_lost: str = ""
    """Why the worker that began it was lost, where another one went on with it."""
    images_per_s: float = 0.0
    """Training images a second over the whole job."""
    start_s: float = 0.0
    """Building and compiling (jobs that measure the pace)."""
    evaluated_per_s: float = 0.0
    """Images evaluated a second (the same jobs)."""
    device: str = ""
    """What was trained on; empty for the processor (the same jobs)."""

    @classmethod
    def not_begun(cls, key: str) -> Self:
        """Return the outcome of a job that was stopped before it had begun."""
        return cls(key=key, status="pruned", reason="had not begun")

    @property
    def learnt(self) -> bool:
        """Whether it came to its end, and better than guessing."""
        return self.status == "complete" and not self.stalled


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLost:
    """A worker has died or broken, and what it did is not lost: another one goes on."""

    why: str
    """In one line."""
    key: str = ""
    """Of the job that it had; empty: it had none."""


def to_json(value: Job | EpochReport | Outcome | WorkerLost) -> str:
    """One line of JSON, naming the kind of value."""
    return json.dumps({"kind": type(value).__name__, **asdict(value)}, allow_nan=False)


def from_json(text: str) -> Job | EpochReport | Outcome | WorkerLost:
    """Read what `to_json` wrote.

    Raises:
        ValueError: the text is of no known kind.
    """
    fields: dict[str, Any] = json.loads(text)
    kind = fields.pop("kind", None)
    if kind == "Job":
        return Job(**{**fields, "recipe": Recipe(**fields["recipe"])})
    if kind == "EpochReport":
        return EpochReport(**fields)
    if kind == "Outcome":
        return Outcome(**fields)
    if kind == "WorkerLost":
        return WorkerLost(**fields)
    raise ValueError(f"no job, report or outcome: kind {kind!r}")
