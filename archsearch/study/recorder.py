"""Writes down what happens to a study's trainings, and tells everyone: the archive first, then observers."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Protocol

from archsearch.archive.orders import Order, Training
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.exchange.latency import LatencyRequest
from archsearch.ir.codec import to_json
from archsearch.space.knobs import Knob
from archsearch.strategy.phase import Begin, Close, Fail, Keep, Measure
from archsearch.study.events import EpochDone, Event, JobEnded, JobRecalled, JobStarted, Notice
from archsearch.training.job import EpochReport, Job, Outcome


class Recorder(Protocol):
    """Takes down what a phase orders and what came of it, in the order it happens."""

    def together(self) -> AbstractContextManager[None]:
        """Write what is noted within the block at its end, in one go where that takes less."""
        ...

    def begin(self, step: Begin) -> Job:
        """Note that a training begins, and return it as a worker is given it."""
        ...

    def fail(self, step: Fail) -> None:
        """Note a trial that has no network."""
        ...

    def report(self, order: Order, trial: int | None, report: EpochReport) -> None:
        """Note how a training stands after an epoch."""
        ...

    def end(self, order: Order, trial: int | None, outcome: Outcome, *, settled: bool) -> None:
        """Note how a training ended; `settled`: its trial gets no further one."""
        ...

    def lost(self, order: Order | None, why: str) -> None:
        """Note that a worker was lost; another one goes on with its training, where it had one."""
        ...

    def leave(self, order: Order) -> None:
        """Note that a training stays to be done."""
        ...

    def leave_all(self) -> None:
        """Note that this process ends with trainings under way."""
        ...

    def close(self, step: Close) -> None:
        """Note that no more is ordered, and why."""
        ...

    def keep(self, step: Keep) -> None:
        """Note what was measured of a finalist."""
        ...

    def request(self, step: Measure) -> LatencyRequest:
        """Return a measurement as it is asked for."""
        ...

    def say(self, text: str) -> None:
        """Tell the user something."""
        ...


class StudyRecorder:
    """Takes down a study's trainings in its storage and folder (see `Recorder`).

    Args:
        store: the study in its storage.
        folder: its files.
        make_job: gives an order as a worker takes it, from the order, the Graph's JSON and further fields.
        knobs: that trials are described by.
        emit: told of every event.
    """

    def __init__(
        self,
        *,
        store: StudyStore,
        folder: StudyFolder,
        make_job: Callable[..., Job],
        knobs: tuple[Knob, ...],
        emit: Callable[[Event], None],
    ) -> None:
        self._store = store
        self._folder = folder
        self._make_job = make_job
        self._knobs = knobs
        self._emit = emit
        self._best = -1.0
        self._ended: list[str] = []  # whose checkpoints are of no use once that is written

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is noted within the block at its end, in one go where that takes less."""
        with self._store.together():
            yield
        while self._ended:
            self._folder.drop_checkpoint(self._ended.pop())

    def begin(self, step: Begin) -> Job:
        """Note that a training begins, and return it as a worker is given it."""
        order, folder = step.order, self._folder
        if step.network is not None:
            folder.write_graph(order.design.graph, to_json(step.network))
        if step.new:
            self._store.begin_trial(order, self._knobs, skipped=step.skipped)
        elif step.trial is not None:
            if not step.again:
                self._store.begin_training(step.trial, order)
            if not self._store[step.trial].finished:
                self._store.move(step.trial, "running")
        self._emit(JobStarted(order=order))
        final, key = order.key.purpose == "final", str(order.key)
        return self._make_job(
            order,
            folder.read_graph(order.design.graph),
            test=final,
            weights=str(folder.weights(key)) if final else None,
            checkpoint=str(folder.checkpoint(key)),
        )

    def fail(self, step: Fail) -> None:
        """Note a trial that has no network: nothing has begun, so no observer hears of it."""
        order = step.order
        outcome = Outcome(key=str(order.key), status="failed", reason=step.reason)
        if step.again:
            self._store.end_training(step.trial, order, outcome)
        else:  # in one go: a process that takes the study up could not train it
            self._store.begin_trial(order, self._knobs, skipped=step.skipped, outcome=outcome)
        self._store.finish(step.trial)
        self.say(f"{order.key}: {step.reason}")

    def report(self, order: Order, trial: int | None, report: EpochReport) -> None:
        """Note how a training stands after an epoch."""
        accuracy = report.val_accuracy
        if trial is not None and accuracy is not None and math.isfinite(accuracy):
            self._store.report(trial, order, report.epoch, accuracy)
        self._folder.add_epoch(report)
        self._emit(EpochDone(order=order, report=report))

    def end(self, order: Order, trial: int | None, outcome: Outcome, *, settled: bool) -> None:
        """Note how a training ended: in the storage first, as without its checkpoints it can't go on."""
        if trial is None:
            self._store.keep_final(order.key, outcome)
        else:
            self._store.end_training(trial, order, outcome)
            if settled:
                self._store.finish(trial)
        self._ended.append(str(order.key))
        self._emit(JobEnded(order=order, outcome=outcome, best=self._is_best(outcome)))

    def lost(self, order: Order | None, why: str) -> None:
        """Tell that a worker was lost."""
        if order is None:
            self.say(why)
        else:
            self.say(f"{order.key}: {why}; another worker goes on with it")

    def leave(self, order: Order) -> None:
        """Note that a training stays to be done, from its checkpoint on."""
        self._emit(JobEnded(order=order, outcome=None))

    def leave_all(self) -> None:
        """Leave no trial that looks as if it still ran."""
        for trial in self._store.trials:
            if not trial.finished:
                self._store.move(trial.number, "waiting")

    def close(self, step: Close) -> None:
        """Note that no more is ordered, and why."""
        facts = self._store.facts
        self._store.keep(replace(facts, ended=step.why, full=step.full or facts.full))
        self.say(step.why)

    def keep(self, step: Keep) -> None:
        """Note what was measured of a finalist."""
        self._store.keep_latency(step.name, step.found)

    def request(self, step: Measure) -> LatencyRequest:
        """Return a measurement as it is asked for."""
        network = step.network
        graph = self._folder.read_graph(step.graph) if network is None else to_json(network)
        request = LatencyRequest(graph=graph)
        if step.seconds is not None:
            request = replace(request, seconds=step.seconds)
        if step.attempts is not None:
            request = replace(request, attempts=step.attempts)
        return request

    def say(self, text: str) -> None:
        """Tell the user something."""
        self._emit(Notice(text=text))

    def recall(self, trainings: Iterable[Training]) -> None:
        """Tell observers again of trainings that ended before this process began."""
        for event in recalled(self._folder, trainings):
            self._folder.drop_checkpoint(str(event.order.key))
            self._emit(event)
            self._is_best(event.outcome)

    def _is_best(self, outcome: Outcome) -> bool:
        """Whether it has learnt, and no training before it reached its validation accuracy."""
        accuracy = outcome.val_accuracy
        if outcome.status != "complete" or outcome.stalled or not accuracy:
            return False
        best = accuracy > self._best
        self._best = max(self._best, accuracy)
        return best


def recalled(folder: StudyFolder, trainings: Iterable[Training]) -> Iterator[JobRecalled]:
    """Give those trainings that have ended as observers are told of them once more."""
    for training in trainings:
        order, outcome = training.order, training.outcome
        if outcome is None or not order.design.exists:
            continue
        yield JobRecalled(
            order=order, outcome=outcome, reports=partial(_reports, folder, str(order.key), outcome)
        )


def _reports(folder: StudyFolder, key: str, outcome: Outcome) -> tuple[EpochReport, ...]:
    return counting(folder.read_epochs(key), outcome)


def counting(kept: Sequence[EpochReport], outcome: Outcome) -> tuple[EpochReport, ...]:
    """Return the epochs that count of a training: its worker may have been one ahead when it was stopped."""
    last = max((report.before for report in kept), default=0)
    return tuple(r for r in kept if r.before < last or r.epoch <= outcome.epochs)


class PaceRecorder:
    """Keeps nothing: what measures the pace is thrown away (see `Recorder`)."""

    def __init__(self, make_job: Callable[..., Job], *, seconds: float) -> None:
        self._make_job = make_job
        self._seconds = seconds

    def together(self) -> AbstractContextManager[None]:
        """Write nothing."""
        return nullcontext()

    def begin(self, step: Begin) -> Job:
        """Return the training as a worker is given it."""
        assert step.network is not None
        return self._make_job(step.order, to_json(step.network), measure_s=self._seconds)

    def end(self, order: Order, trial: int | None, outcome: Outcome, *, settled: bool) -> None:
        """Keep nothing: the phase has heard of it."""

    def report(self, order: Order, trial: int | None, report: EpochReport) -> None:
        """Keep nothing."""

    def lost(self, order: Order | None, why: str) -> None:
        """Keep nothing: what is measured fails with its reason, and is measured otherwise."""

    def leave(self, order: Order) -> None:
        """Keep nothing."""

    def leave_all(self) -> None:
        """Keep nothing."""

    def say(self, text: str) -> None:
        """Say nothing: whoever measures says what is measured."""

    def fail(self, step: Fail) -> None:
        """Refuse: there are no trials here."""
        raise NotImplementedError

    def close(self, step: Close) -> None:
        """Refuse: nothing is closed here."""
        raise NotImplementedError

    def keep(self, step: Keep) -> None:
        """Refuse: no latency is measured here."""
        raise NotImplementedError

    def request(self, step: Measure) -> LatencyRequest:
        """Refuse: no latency is measured here."""
        raise NotImplementedError
