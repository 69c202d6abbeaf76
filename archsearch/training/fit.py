"""Train one job from its first step to its outcome."""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from archsearch.data.dataset import Dataset, joined, load
from archsearch.data.folds import refolded
from archsearch.ir.codec import from_json
from archsearch.readings.normalization import normalized_part
from archsearch.training.backends.base import Rates, Steps, Task
from archsearch.training.backends.choice import make_steps
from archsearch.training.batches import Batch, batches_of
from archsearch.training.checkpoint import Checkpoints, Progress
from archsearch.training.evaluation import evaluate, evaluate_crops, evaluation_batch
from archsearch.training.job import EpochReport, Job, Outcome
from archsearch.training.resident import peak_rss_bytes, reset_peak_rss
from archsearch.training.stalling import loss_weights, why_stalled
from archsearch.training.teams.team import ALONE, Team
from archsearch.training.weights import save_weights

_UPDATE_RATE = 0.1  # of the moving statistics, once they average over enough steps
_READ_EVERY = 16  # steps between looks at the loss: a look waits for the device


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
        number any more. What stalled was tried a second time, if the recipe has a `retry_rate`. The test
        split is touched only by a completed job that asks for it.

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
        self.before = 0  # epochs begun in a first try
        self.goes_on = True
        self.recalled: tuple[EpochReport, ...] = ()
        self.kind_share = 1.0  # of the rate, for a network of this kind
        self.reports: list[EpochReport] = []
        # A batch is cut and augmented while the one before it trains.
        self.pool = ThreadPoolExecutor(1)

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)

    def outcome(self, on_epoch: Callable[[EpochReport], bool]) -> Outcome:
        """Train, and where that stalls once more at a lower rate, as if the first try had not been."""
        job = self.job
        data = _loaded(job)
        checkpoints = None
        if job.checkpoint:
            checkpoints = Checkpoints(Path(job.checkpoint), job, data.digest)
            # Memory may have run out on the way there.
            parts = max(job.microbatches, checkpoints.microbatches())
            self.job = replace(job, microbatches=parts)
        ended = self._tried(data, checkpoints, on_epoch)
        if ended is None:
            ended = self._tried(data, checkpoints, on_epoch)
        assert ended is not None
        return ended

    def _tried(
        self,
        data: Dataset,
        checkpoints: Checkpoints | None,
        on_epoch: Callable[[EpochReport], bool],
    ) -> Outcome | None:
        """Train from scratch, or from the last checkpoint; return None where that is to be tried again."""
        steps = self._prepared(data)
        done = self._begun_again(steps, checkpoints) if self.before else 0
        if not self.before and checkpoints is not None:
            done = self._restored(steps, checkpoints)
        if (stopped := self._told_again(on_epoch)) is not None:
            return stopped
        fault = self._trained(data, steps, checkpoints, on_epoch, done)
        if isinstance(fault, Outcome):
            return fault
        why = fault or why_stalled(self.reports[-1], data, self.job.recipe)
        stalled = self.team.agreed(bool(why))
        if stalled and not self.before and self.job.recipe.retry_rate is not None:
            self.before = self.epoch + bool(fault)
            return None
        if fault:
            return self._ended("failed", fault, stalled=True)
        with steps.averaged():
            if self.job.weights and self.team.rank == 0:
                save_weights(steps.weights(), Path(self.job.weights))
            if not self.job.test:
                return self._ended("complete", why, stalled=stalled)
            test_loss, test_accuracy = self._tested(steps, data)
        finite = test_loss if math.isfinite(test_loss) else None
        return self._ended(
            "complete", why, stalled=stalled, test_loss=finite, test_accuracy=test_accuracy
        )

    def _trained(
        self,
        data: Dataset,
        steps: Steps,
        checkpoints: Checkpoints | None,
        on_epoch: Callable[[EpochReport], bool],
        done: int,
    ) -> Outcome | str:
        """Train to the end; return how it was stopped, what went wrong, or an empty text."""
        job = self.job
        batches = batches_of(data, job, self.pool, steps, done, team=self.team)
        for epoch, which in job.epochs_left(len(data.train), done=done):
            found = self._epoch(epoch, which, steps, batches, data)
            if isinstance(found, str):
                return f"{found} at epoch {epoch}"
            self._add(found)
            if checkpoints is not None and which.stop < job.steps:
                self._save(checkpoints, which.stop, steps)
            self.goes_on = on_epoch(found)
            if not self.goes_on and which.stop < job.steps:
                return self._stopped()
        return ""

    def _restored(self, steps: Steps, checkpoints: Checkpoints) -> int:
        """Go on from the last checkpoint, if there is one; return the steps that were taken until then."""
        progress = checkpoints.restore(steps)
        if progress is None:
            return 0
        self.begin -= progress.total_s
        self.train_s = progress.train_s
        self.images = progress.images
        self.before = progress.before
        self.recalled = progress.reports
        return progress.steps

    def _told_again(self, on_epoch: Callable[[EpochReport], bool]) -> Outcome | None:
        """Tell of the epochs before a checkpoint; return how it was stopped, if it was.

        Whoever listens may have missed any of them, and decides on all of them.
        """
        recalled, self.recalled = self.recalled, ()
        for report in recalled:
            self._add(report)
            self.goes_on = on_epoch(replace(report, outdated=report is not recalled[-1]))
            if not self.goes_on:
                break
        return None if self.goes_on else self._stopped()

    def _begun_again(self, steps: Steps, checkpoints: Checkpoints | None) -> int:
        """Begin the second try, of which nothing has been done; a kill does not bring the first one back."""
        self.epoch, self.begun = 0, False
        if checkpoints is not None:
            self._save(checkpoints, 0, steps)
        return 0

    def _epoch(
        self, epoch: int, which: range, steps: Steps, batches: Iterator[Batch], data: Dataset
    ) -> EpochReport | str:
        """Train for an epoch, and evaluate where that is due; return its report, or what went wrong."""
        job, total = self.job, self.job.steps
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
                most = job.evaluated_at_once
                found = evaluate(steps, data.val, self.on_progress, self.team, most=most)
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
            before=self.before,
            wall_s=time.perf_counter() - self.begin,
        )

    def _tested(self, steps: Steps, data: Dataset) -> tuple[float, float]:
        """Return the test split's loss and accuracy, over as many crops as the recipe says."""
        most = self.job.evaluated_at_once
        if self.job.recipe.test_crops == 1:
            loss, accuracy, _ = evaluate(steps, data.test, self.on_progress, self.team, most=most)
            return loss, accuracy
        return evaluate_crops(
            steps,
            data.test,
            mirror=data.mirror,
            batch=evaluation_batch(steps, most),
            on_progress=self.on_progress,
            team=self.team,
        )

    def _save(self, checkpoints: Checkpoints, done: int, steps: Steps) -> None:
        """Leave a checkpoint; of several processes the first one writes what all of them have to say."""
        if self.team.rank == 0:
            checkpoints.save(self._progress(done), steps)
        else:
            steps.state()

    def _add(self, report: EpochReport) -> None:
        self.reports.append(report)
        if report.before == self.before:
            self.epoch = report.epoch

    def _progress(self, done: int) -> Progress:
        return Progress(
            steps=done,
            images=self.images,
            train_s=self.train_s,
            total_s=time.perf_counter() - self.begin,
            reports=tuple(self.reports),
            before=self.before,
            microbatches=self.job.microbatches,
        )

    def _prepared(self, data: Dataset) -> Steps:
        job, graph = self.job, from_json(self.job.graph)
        self.kind_share = job.recipe.rate_share(normalized_part(graph))
        task = Task(
            graph=graph.dropping(job.recipe.dropped_share(job.images / len(data.train))),
            recipe=job.recipe,
            mean=data.mean,
            std=data.std,
            class_weights=loss_weights(data, job.recipe),
            seed=job.seed,
            precision=job.precision,
            compiled=job.compiled,
            team=self.team,
            steps=job.steps,
            microbatches=job.microbatches,
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
            step=step + 1,
        )

    def _learning_rate(self, step: int, total: int) -> float:
        return self._rate_share * self.kind_share * self.job.recipe.learning_rate(step, total)

    @property
    def _rate_share(self) -> float:
        """Of the recipe's learning rate, in this try."""
        return self.job.recipe.retry_rate or 1.0 if self.before else 1.0

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

    def _stopped(self) -> Outcome:
        return self._ended("pruned", f"stopped after epoch {self.reports[-1].epoch}")

    def _ended(
        self,
        status: str,
        reason: str = "",
        *,
        stalled: bool = False,
        test_loss: float | None = None,
        test_accuracy: float | None = None,
    ) -> Outcome:
        own = (report for report in reversed(self.reports) if report.before == self.before)
        evaluated = next((report for report in own if report.val_accuracy is not None), None)
        return Outcome(
            key=self.job.key,
            status=status,  # type: ignore[arg-type]  # one of the three literals above
            reason=reason,
            epochs=self.epoch,
            images=self.images,
            stalled=stalled,
            rate_share=self._rate_share,
            microbatches=self.job.microbatches,
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


def _written(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"
