"""Train one job from its first step to its outcome."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from archsearch.data.balance import balanced_accuracy, class_weights
from archsearch.data.dataset import Dataset, Split, joined, load
from archsearch.data.folds import refolded
from archsearch.ir.codec import from_json
from archsearch.training.backends.base import Rates, Steps, Task
from archsearch.training.backends.choice import make_steps
from archsearch.training.batches import Batch, batches_of
from archsearch.training.checkpoint import Checkpoints, Progress
from archsearch.training.initial import is_normalized
from archsearch.training.job import EpochReport, Job, Outcome
from archsearch.training.resident import peak_rss_bytes, reset_peak_rss
from archsearch.training.team import ALONE, Team
from archsearch.training.ten_crop import evaluate_crops
from archsearch.training.weights import save_weights

_UPDATE_RATE = 0.1  # of the moving statistics, once they average over enough steps
_READ_EVERY = 16  # steps between looks at the loss: a look waits for the device
_EVALUATION_BATCH = 256  # on a GPU,
_PROCESSOR_EVALUATION_BATCH = 64  # and where maps of more images would not stay in the caches


def train(
    job: Job,
    on_epoch: Callable[[EpochReport], bool],
    on_progress: Callable[[], None] = lambda: None,
    team: Team = ALONE,
) -> Outcome:
    """Train a network from scratch, or from its last checkpoint, and tell how it went.

    Args:
        job: what to train, on what, for how long.
        on_epoch: called after every epoch; answers whether to go on. A job that goes on from a
            checkpoint first reports the epochs before it once more.
        on_progress: called every few steps: an epoch may take hours.
        team: the processes that train it together; each calls this with the same job, and `on_epoch`
            answers the same in each.

    Returns:
        `complete`, `pruned` where `on_epoch` said to stop, or `failed` where the loss was no
        number any more. The test split is touched only by a completed job that asks for it.

    Raises:
        ArchsearchError: the network or the data of the job cannot be used.
    """
    run = _Run(job, on_progress, team)
    reset_peak_rss()
    try:
        return run.outcome(on_epoch)
    finally:
        run.close()


@contextmanager
def train_steps(
    job: Job, data: Dataset, team: Team = ALONE
) -> Iterator[tuple[Steps, Callable[[int], float]]]:
    """Give a job's steps, and a function that takes so many training steps and returns their seconds."""
    run = _Run(job, team=team)
    try:
        steps = run._prepared(data)
        batches = batches_of(data, job, run.pool, steps, team=team)

        def take(count: int) -> float:
            _, _, seconds = run._steps(steps, batches, range(count), 10**6)
            return seconds

        yield steps, take
    finally:
        run.close()


class _Run:
    """What changes while a job trains."""

    def __init__(
        self,
        job: Job,
        on_progress: Callable[[], None] = lambda: None,
        team: Team = ALONE,
    ) -> None:
        self.team = team
        self.on_progress = on_progress
        self.begin = time.perf_counter()
        self.job = job
        self.epoch = 0
        self.train_s = 0.0
        self.images = 0
        self.begun = False
        self.normalized = True
        self.reports: list[EpochReport] = []
        # A batch is cut and augmented while the one before it trains.
        self.pool = ThreadPoolExecutor(1)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def outcome(self, on_epoch: Callable[[EpochReport], bool]) -> Outcome:
        job = self.job
        data = _loaded(job)
        steps = self._prepared(data)
        total = step_count(job)
        checkpoints = (
            Checkpoints(Path(job.checkpoint), job, data.digest) if job.checkpoint else None
        )
        done = 0
        if checkpoints is not None and (progress := checkpoints.restore(steps)):
            done = progress.steps
            self._take_up(progress)
            # Whoever listens may have missed any of them, and decides on all of them.
            for report in progress.reports:
                self._add(report)
                told = replace(report, outdated=report is not progress.reports[-1])
                if not on_epoch(told):
                    return self._ended("pruned", f"stopped after epoch {report.epoch}")
        batches = batches_of(data, job, self.pool, steps, done, team=self.team)
        for epoch, which in _epochs(job, len(data.train), done):
            found = self._epoch(epoch, which, steps, batches, data)
            if isinstance(found, str):
                return self._ended("failed", f"{found} at epoch {epoch}")
            self._add(found)
            done = which.stop
            if checkpoints is not None and done < total:
                self._save(checkpoints, done, steps)
            go_on = on_epoch(found)
            if not go_on and done < total:
                return self._ended("pruned", f"stopped after epoch {epoch}")
        with steps.averaged():
            if job.weights and self.team.rank == 0:
                save_weights(steps.weights(), Path(job.weights))
            if not job.test:
                return self._ended("complete")
            test_loss, test_accuracy = self._tested(steps, data)
        finite = test_loss if math.isfinite(test_loss) else None
        return self._ended("complete", test_loss=finite, test_accuracy=test_accuracy)

    def _epoch(
        self, epoch: int, which: range, steps: Steps, batches: Iterator[Batch], data: Dataset
    ) -> EpochReport | str:
        """Train for an epoch, and evaluate where that is due; return its report, or what went wrong."""
        job, total = self.job, step_count(self.job)
        loss, accuracy, seconds = self._steps(steps, batches, which, total)
        seen = len(which) * job.recipe.batch
        self.train_s += seconds
        self.images += seen
        if not math.isfinite(loss):
            return f"loss became {_written(loss)}"
        found: tuple[float | None, ...] = (None, None, None)
        last = which.stop == total and job.train_on == "train"
        if last or job.evaluates(epoch, len(data.train)):
            with steps.averaged():
                found = evaluate(steps, data.val, self.on_progress, self.team)
        val_loss, val_accuracy, val_balanced_accuracy = found
        if val_loss is not None and not math.isfinite(val_loss):
            return f"validation loss became {_written(val_loss)}"
        return EpochReport(
            key=job.key,
            epoch=epoch,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            val_balanced_accuracy=val_balanced_accuracy,
            images_per_s=seen / seconds,
            images=self.images,
            learning_rate=self._learning_rate(which.stop - 1, total),
            wall_s=time.perf_counter() - self.begin,
        )

    def _tested(self, steps: Steps, data: Dataset) -> tuple[float, float]:
        """Return the test split's loss and accuracy, over as many crops as the recipe says."""
        if self.job.recipe.test_crops == 1:
            loss, accuracy, _ = evaluate(steps, data.test, self.on_progress, self.team)
            return loss, accuracy
        return evaluate_crops(
            steps,
            data.test,
            mirror=data.mirror,
            batch=evaluation_batch(steps),
            on_progress=self.on_progress,
            team=self.team,
        )

    def _save(self, checkpoints: Checkpoints, done: int, steps: Steps) -> None:
        """Leave a checkpoint; of several processes the first one writes what all of them have to say."""
        if self.team.rank == 0:
            checkpoints.save(self._progress(done), steps)
        else:
            steps.state()

    def _take_up(self, progress: Progress) -> None:
        """Count what was done before."""
        self.begin -= progress.total_s
        self.train_s = progress.train_s
        self.images = progress.images

    def _add(self, report: EpochReport) -> None:
        self.reports.append(report)
        self.epoch = report.epoch

    def _progress(self, done: int) -> Progress:
        return Progress(
            steps=done,
            images=self.images,
            train_s=self.train_s,
            total_s=time.perf_counter() - self.begin,
            reports=tuple(self.reports),
        )

    def _prepared(self, data: Dataset) -> Steps:
        job, graph = self.job, from_json(self.job.graph)
        self.normalized = is_normalized(graph)
        weights = (
            class_weights(data.train.labels, len(data.classes))
            if job.recipe.class_weights
            else None
        )
        task = Task(
            graph=graph.dropping(job.recipe.dropped_share(job.images / len(data.train))),
            recipe=job.recipe,
            mean=data.mean,
            std=data.std,
            class_weights=weights,
            seed=job.seed,
            precision=job.precision,
            compiled=job.compiled,
            team=self.team,
            steps=step_count(job),
        )
        return make_steps(job.backend, task)

    def _rates(self, step: int, total: int) -> Rates:
        decay = self.job.recipe.ema or 0.0
        return Rates(
            learning=self._learning_rate(step, total),
            # The mean over all steps so far, then an exponential one.
            statistics=max(_UPDATE_RATE, 1 / (step + 1)),
            # The first steps' weights are soon forgotten, however long the memory.
            average=1 - min(decay, (step + 1) / (step + 10)),
        )

    def _learning_rate(self, step: int, total: int) -> float:
        return self.job.recipe.learning_rate(step, total, normalized=self.normalized)

    def _steps(
        self, steps: Steps, batches: Iterator[Batch], which: range, total: int
    ) -> tuple[float, float, float]:
        """Train; return the mean loss (the first that is no number ends it), the accuracy, the seconds.

        A job's first step traces or compiles, which is no training: it counts as long as the others.
        """
        recipe = self.job.recipe
        sums = np.zeros(2)
        pending = []
        began, first_s = time.perf_counter(), 0.0
        for step in which:
            images, labels, share = next(batches)
            rates = replace(self._rates(step, total), share=share)
            pending.append(steps.train(images, labels, rates))
            first = not self.begun
            if len(pending) == _READ_EVERY or step == which[-1] or first:
                sums += steps.read(pending)
                pending.clear()
                self.on_progress()
                if not math.isfinite(sums[0]):
                    break
            if first:
                self.begun, first_s = True, time.perf_counter() - began
        seconds = time.perf_counter() - began
        if first_s and len(which) > 1:
            seconds = (seconds - first_s) * len(which) / (len(which) - 1)
        return float(sums[0]) / len(which), float(sums[1]) / (len(which) * recipe.batch), seconds

    def _ended(
        self,
        status: str,
        reason: str = "",
        *,
        test_loss: float | None = None,
        test_accuracy: float | None = None,
    ) -> Outcome:
        looks = (report for report in reversed(self.reports) if report.val_accuracy is not None)
        evaluated = next(looks, None)
        return Outcome(
            key=self.job.key,
            status=status,  # type: ignore[arg-type]  # one of the three literals above
            reason=reason,
            epochs=self.epoch,
            images=self.images,
            val_accuracy=evaluated.val_accuracy if evaluated else None,
            val_loss=evaluated.val_loss if evaluated else None,
            test_accuracy=test_accuracy,
            test_loss=test_loss,
            train_s=self.train_s,
            total_s=time.perf_counter() - self.begin,
            peak_rss_bytes=peak_rss_bytes(),
            images_per_s=self.images / self.train_s if self.train_s else 0.0,
        )


def _loaded(job: Job) -> Dataset:
    """Open a job's images; the training split has those of validation in it where they are trained on."""
    data = load(Path(job.dataset))
    if job.train_on == "train":
        return refolded(data, job.fold)
    return replace(data, train=joined(data.train, data.val))


def step_count(job: Job) -> int:
    """Steps of a whole job: images seen, to the nearest batch, and at least one."""
    return max(1, round(job.images / job.recipe.batch))


def _epochs(job: Job, train_images: int, done: int) -> Iterator[tuple[int, range]]:
    """Give the epochs that are left after so many steps: their numbers, from 1, and their steps."""
    total, last = step_count(job), job.epochs(train_images)
    for epoch in range(1, last + 1):
        end = min(total, max(epoch, round(epoch * train_images / job.recipe.batch)))
        if epoch == last:
            end = total
        if end > done:
            yield epoch, range(done, end)
            done = end


def evaluation_batch(steps: Steps) -> int:
    """Return how many images are evaluated at a time."""
    return _EVALUATION_BATCH if steps.device else _PROCESSOR_EVALUATION_BATCH


def evaluate(
    steps: Steps,
    split: Split,
    on_progress: Callable[[], None] = lambda: None,
    team: Team = ALONE,
) -> tuple[float, float, float]:
    """Return the mean cross-entropy, the accuracy and the balanced accuracy over a split."""
    # The loss, then the answers, which the others leave at 0: so everyone has all of them in the sum.
    found = np.zeros(1 + len(split))
    batch = evaluation_batch(steps)
    for start in range(team.rank * batch, len(split), team.size * batch):
        part = slice(start, start + batch)
        one_loss, answers = steps.evaluate(split.images[part], split.labels[part])
        found[0] += one_loss
        found[1 + start : 1 + start + len(answers)] = answers
        on_progress()
    found = team.total(found)
    answered = found[1:].astype(np.int64)
    accuracy = float(np.mean(answered == split.labels))
    return float(found[0]) / len(split), accuracy, balanced_accuracy(split.labels, answered)


def _written(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"
