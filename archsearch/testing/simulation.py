"""A search without processes: a phase, workers that are numbers, a clock of its own.

Made for trying samplers and fidelity schemes: a thousand trainings take as long as their decisions.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from archsearch.archive.orders import Order, Training, Trial
from archsearch.exchange.latency import Latency
from archsearch.strategy.outcomes import settled
from archsearch.strategy.phase import (
    Abandon,
    Begin,
    Close,
    DropMeasurement,
    Fail,
    Keep,
    Measure,
    Phase,
    Rest,
    Say,
    Stop,
)
from archsearch.training.job import EpochReport, Outcome

Learner = Callable[[Order, int], float]
"""Validation accuracy of a training after an epoch, from 1."""
Duration = Callable[[Order], float]
"""Seconds an epoch of a training takes."""


@dataclass(slots=True)
class _Running:
    order: Order
    number: int
    epoch: int = 0
    accuracies: dict[int, float] = field(default_factory=dict)
    stop: Stop | None = None


@dataclass(slots=True)
class Simulation:
    """Runs a phase to its end; afterwards its fields say what happened.

    Attributes:
        learn: what a network learns.
        epoch_s: how long its epochs take.
        workers: trainings at the same time.
        steps: everything the phase ordered, in order, waiting left out.
        trials: of the search, with their trainings.
        ended: the orders that came to an end, in the order they did.
        now_s: the time.
    """

    learn: Learner
    epoch_s: Duration = field(default=lambda order: 1.0)
    workers: int = 1
    latency: Callable[[Measure], Latency | str] | None = None
    steps: list[object] = field(default_factory=list)
    trials: list[Trial] = field(default_factory=list)
    ended: list[Order] = field(default_factory=list)
    now_s: float = 0.0
    _running: dict[str, _Running] = field(default_factory=dict)
    _events: list[tuple[float, int, str]] = field(default_factory=list)
    _count: int = 0

    def run(self, phase: Phase, *, until: Callable[["Simulation"], bool] | None = None) -> bool:
        """Run a phase; False where `until` said to leave it before its end, as a kill would."""
        while True:
            if until is not None and until(self):
                return False
            step = phase.next(self.now_s, room=self.workers - len(self._running))
            if step is Rest.DONE:
                return True
            if step is Rest.WAIT:
                self._happen(phase)
                continue
            self.steps.append(step)
            self._carry_out(step, phase)

    @property
    def images(self) -> int:
        """Images seen in all trainings that ended."""
        return sum(t.outcome.images for t in self._trainings() if t.outcome is not None)

    def _trainings(self) -> Sequence[Training]:
        return [training for trial in self.trials for training in trial.trainings]

    def _carry_out(self, step: object, phase: Phase) -> None:
        match step:
            case Begin():
                self._begin(step)
            case Fail():
                self._keep(step.trial, Training(order=step.order), skipped=step.skipped)
                reason = step.reason
                outcome = Outcome(key=str(step.order.key), status="failed", reason=reason)
                self._keep(step.trial, Training(order=step.order, outcome=outcome))
            case Measure():
                assert self.latency is not None
                phase.measured(self.latency(step), self.now_s)
            case Abandon():
                for key in list(self._running):
                    self._end(key, phase, why=step.why)
            case Close() | Keep() | Say() | DropMeasurement():
                pass
            case _:
                raise AssertionError(f"{step} is no step")

    def _begin(self, step: Begin) -> None:
        order, key = step.order, str(step.order.key)
        if step.trial is not None and not step.again:
            self._keep(step.trial, Training(order=order), skipped=step.skipped)
        self._running[key] = _Running(order, -1 if step.trial is None else step.trial)
        self._schedule(key)

    def _schedule(self, key: str) -> None:
        self._count += 1
        when_s = self.now_s + self.epoch_s(self._running[key].order)
        heapq.heappush(self._events, (when_s, self._count, key))

    def _happen(self, phase: Phase) -> None:
        """Let the next epoch end."""
        self.now_s, _, key = heapq.heappop(self._events)
        running = self._running.get(key)
        if running is None:
            return
        running.epoch += 1
        order = running.order
        accuracy = self.learn(order, running.epoch)
        running.accuracies[running.epoch] = accuracy
        report = EpochReport(
            key=key,
            epoch=running.epoch,
            loss=1 - accuracy,
            accuracy=accuracy,
            val_loss=1 - accuracy,
            val_accuracy=accuracy,
            images_per_s=1.0,
            images=self._seen(running),
            learning_rate=0.1,
            wall_s=running.epoch * self.epoch_s(order),
        )
        if running.number >= 0:
            training = Training(order=order, reports=dict(running.accuracies))
            self._keep(running.number, training)
        running.stop = phase.heard(report, self.now_s)
        if running.stop is not None or running.epoch >= order.length.epochs:
            self._end(key, phase)
        else:
            self._schedule(key)

    def _seen(self, running: _Running) -> int:
        length = running.order.length
        return round(length.images * running.epoch / max(1, length.epochs))

    def _end(self, key: str, phase: Phase, *, why: str = "") -> None:
        running = self._running.pop(key)
        accuracy = running.accuracies.get(running.epoch)
        outcome = Outcome(
            key=key,
            status="failed" if why else "complete" if running.stop is None else "pruned",
            reason=why,
            epochs=running.epoch,
            images=self._seen(running),
            val_accuracy=accuracy,
            test_accuracy=accuracy,
            total_s=running.epoch * self.epoch_s(running.order),
        )
        order = running.order
        counted = settled(
            order, outcome, running.stop, epoch=running.epoch, accuracies=running.accuracies
        )
        if counted is None:
            phase.left_open(order, self.now_s)
            return
        self.ended.append(order)
        if running.number >= 0:
            training = Training(order=order, reports=dict(running.accuracies), outcome=counted)
            self._keep(running.number, training)
        phase.ended(order, counted, self.now_s)

    def _keep(self, number: int, training: Training, *, skipped: int = 0) -> None:
        order = training.order
        if number == len(self.trials):
            trial = Trial(
                number=number, knobs=order.knobs, design=order.design, skipped=skipped,
                trainings=(training,),
            )  # fmt: skip
            self.trials.append(trial)
            return
        trial = self.trials[number]
        by_key = {t.order.key: t for t in trial.trainings} | {order.key: training}
        self.trials[number] = replace(trial, trainings=tuple(by_key.values()))
