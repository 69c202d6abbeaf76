"""The one loop: carries out what a phase orders, and tells it what came of it.

Everything that happens comes in here: workers' reports and outcomes, measured latencies, Ctrl-C. What a
phase decides goes out from here: to the engine, the gauge, and the recorder, which writes it down.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from archsearch.archive.orders import Order
from archsearch.engines.engine import Engine, Message
from archsearch.errors import ArchsearchError, MachineError
from archsearch.exchange.gauge import Gauge
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
    Step,
    Stop,
)
from archsearch.study.recorder import Recorder
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost

STOPPING: Final = "stopping after the epochs under way; Ctrl-C once more stops at once"
_AT_ONCE: Final = 16
"""Trainings at most that are begun in one go: the first ones should not wait for hundreds of others."""
_POLL_S: Final = 0.25
_MEASURING_POLL_S: Final = 0.05


@dataclass(slots=True)
class _Running:
    """A training that runs: its last epoch, what it has seen, and whether it was stopped.

    With a second try it begins anew: of the epochs `before` no accuracy counts any more.
    """

    order: Order
    trial: int | None
    before: int = 0
    epoch: int = 0
    images: int = 0
    accuracies: dict[int, float] = field(default_factory=dict)
    stop: Stop | None = None


class Loop:
    """Runs phases on an engine, one after another.

    Args:
        engine: trains.
        recorder: writes down what happens.
        clock: seconds.
        stopped: asked between steps; true once the user wants to stop.
        gauge: measures latency; None: no phase asks for it.
        halts: whether workers are let finish their epochs where the user stops.
    """

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        *,
        clock: Callable[[], float],
        stopped: Callable[[], bool],
        gauge: Gauge | None = None,
        halts: bool = True,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._clock = clock
        self._stopped = stopped
        self._gauge = gauge
        self._halts = halts
        self._measuring = False
        self._running: dict[str, _Running] = {}
        self._begun: list[Job] = []
        self._stopping = False
        self._disrupted_by: Outcome | None = None

    def run(self, phase: Phase, *, ready: Callable[[], None] | None = None) -> bool:
        """Run a phase.

        Args:
            phase: decides.
            ready: called once, when what comes after the phase may get ready beside its last trainings.

        Returns:
            False where `stopped` said so before the phase was done.

        Raises:
            KeyboardInterrupt: at once; checkpoints are what is left of trainings under way.
            MachineError: something fails that every network needs; trainings under way stay to be done.
            ArchsearchError: the engine has no workers any more, or the storage is gone; likewise.
        """
        try:
            return self._run(phase, ready)
        except (KeyboardInterrupt, ArchsearchError):
            with contextlib.suppress(ArchsearchError):  # the first one says what is wrong
                self._recorder.leave_all()
            raise

    def _run(self, phase: Phase, ready: Callable[[], None] | None) -> bool:
        while True:
            with self._recorder.together():
                rest = self._ordered(phase)
            self._submit()
            if rest is Rest.DONE:
                return True
            if rest is None and self._stopping:
                if self._halts:
                    self._halt(phase)
                return False
            if rest is None:
                continue
            if ready is not None and phase.gets_ready(self._engine.workers):
                ready()
                ready = None
            self._listen(phase)

    # --- what a phase orders ------------------------------------------------------------------------

    def _ordered(self, phase: Phase) -> Rest | None:
        """Carry out what a phase orders until there is nothing to do now.

        None: it has ordered much, which may begin, or the user wants to stop.
        """
        while len(self._begun) < _AT_ONCE:
            step = phase.next(self._clock(), room=self._engine.workers - len(self._running))
            if step is Rest.DONE:
                return step
            if isinstance(step, Begin | Measure | Rest) and self._stopped():
                self._stopping = True
                return None
            if isinstance(step, Rest):
                return step
            self._carry_out(step, phase)
        return None

    def _submit(self) -> None:
        """Have the trainings begin that have been kept as begun."""
        while self._begun:
            self._engine.submit(self._begun.pop(0))

    def _carry_out(self, step: Step, phase: Phase) -> None:
        match step:
            case Begin():
                running = _Running(step.order, step.trial)
                self._running[str(step.order.key)] = running
                self._begun.append(self._recorder.begin(step))
            case Fail():
                self._recorder.fail(step)
            case Measure():
                self._measure(step, phase)
            case DropMeasurement():
                self._drop_measurement()
            case Keep():
                self._recorder.keep(step)
            case Close():
                self._recorder.close(step)
            case Abandon():
                self._abandon(step, phase)
            case Say():
                self._recorder.say(step.text)

    def _abandon(self, step: Abandon, phase: Phase) -> None:
        self._submit()
        for key, running in list(self._running.items()):
            self._engine.stop(key)  # its worker should not be in the way of what comes after
            if running.order.key in step.open:
                self._leave(key, phase)
            else:
                self._take(Outcome(key=key, status="failed", reason=step.why), phase)

    def _measure(self, step: Measure, phase: Phase) -> None:
        assert self._gauge is not None
        try:
            self._gauge.ask(self._recorder.request(step))
            self._measuring = True
        except ArchsearchError as error:
            phase.measured(str(error), self._clock())

    def _drop_measurement(self) -> None:
        if self._gauge is not None and self._measuring:
            self._gauge.close()
        self._measuring = False

    # --- what comes back ------------------------------------------------------------------------------

    def _listen(self, phase: Phase) -> None:
        """Wait a moment for something to happen, and pass it on."""
        if self._running:
            found = self._engine.events(_MEASURING_POLL_S if self._measuring else _POLL_S)
            with self._recorder.together():
                for message in found:
                    self._hear(message, phase)
            if self._disrupted_by is not None:
                self._give_up(self._disrupted_by, phase)
        if self._measuring:
            self._poll_gauge(phase, 0.0 if self._running else _POLL_S)

    def _poll_gauge(self, phase: Phase, timeout_s: float) -> None:
        assert self._gauge is not None
        try:
            found = self._gauge.poll(timeout_s)
        except MachineError:  # no other network would be measured either
            self._measuring = False
            for key in list(self._running):
                self._leave(key, phase)
            raise
        except ArchsearchError as error:
            self._measuring = False
            phase.measured(str(error), self._clock())
            return
        if found is not None:
            self._measuring = False
            phase.measured(found, self._clock())

    def _hear(self, message: Message, phase: Phase) -> None:
        match message:
            case EpochReport():
                self._report(message, phase)
            case WorkerLost():
                self._lost(message)
            case Outcome(status="failed", cause="machine"):
                self._disrupted_by = message  # what others have come to is heard first
            case Outcome():
                self._take(message, phase)

    def _lost(self, lost: WorkerLost) -> None:
        running = self._running.get(lost.key)
        self._recorder.lost(None if running is None else running.order, lost.why)

    def _give_up(self, outcome: Outcome, phase: Phase) -> None:
        """Leave all that runs to be done, as no other network would come further.

        Raises:
            MachineError: always.
        """
        self._drop_measurement()
        for key in list(self._running):
            self._leave(key, phase)
        raise MachineError(f"{outcome.key} can't be trained: {outcome.reason}")

    def _report(self, report: EpochReport, phase: Phase) -> None:
        running = self._running.get(report.key)
        if running is None or running.stop is not None:
            # A worker may be an epoch ahead of the decision to stop it; that epoch does not count.
            return
        if (report.before, report.epoch) <= (running.before, running.epoch):
            return  # its worker died, and another one went on
        if report.before != running.before:
            running.before = report.before
            running.accuracies.clear()
        running.epoch, running.images = report.epoch, report.images
        if report.val_accuracy is not None:
            running.accuracies[report.epoch] = report.val_accuracy
        self._recorder.report(running.order, running.trial, report)
        running.stop = phase.heard(report, self._clock())
        if running.stop is not None:
            self._engine.stop(report.key)

    def _take(self, outcome: Outcome, phase: Phase) -> None:
        running = self._running.get(outcome.key)
        if running is None:
            return
        # A worker that died did not say how far it came; its reports did.
        outcome = replace(
            outcome,
            epochs=max(outcome.epochs, running.epoch),
            images=max(outcome.images, running.images),
        )
        order = running.order
        counted = settled(
            order, outcome, running.stop, epoch=running.epoch, accuracies=running.accuracies
        )
        if counted is None:
            self._leave(outcome.key, phase)
            return
        del self._running[outcome.key]
        phase.ended(order, counted, self._clock())
        self._recorder.end(order, running.trial, counted, settled=phase.settled(order))

    def _leave(self, key: str, phase: Phase) -> None:
        """Leave a training to be done later."""
        running = self._running.pop(key)
        phase.left_open(running.order, self._clock())
        self._recorder.leave(running.order)

    # --- stopping ---------------------------------------------------------------------------------------

    def _halt(self, phase: Phase) -> None:
        """Have all workers finish their epoch, and leave what is under way for another process."""
        self._drop_measurement()
        if self._running:
            self._recorder.say(STOPPING)
        for key in self._running:
            self._engine.stop(key)
        left = set(self._running)
        while left:
            found = self._engine.events(_POLL_S)
            with self._recorder.together():
                for message in found:
                    if isinstance(message, Outcome):
                        left.discard(message.key)
                        self._finish_halted(message, phase)
                    else:
                        self._hear(message, phase)
        for key in list(self._running):
            self._leave(key, phase)
        self._recorder.leave_all()

    def _finish_halted(self, outcome: Outcome, phase: Phase) -> None:
        """Take an outcome that came while stopping; one that was cut short by it stays open."""
        running = self._running.get(outcome.key)
        if running is not None and (outcome.status == "complete" or running.stop is not None):
            self._take(outcome, phase)
