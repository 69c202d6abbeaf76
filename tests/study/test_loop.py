"""The loop as tables: a phase, an engine and a recorder that follow a script and note what they hear."""

from collections import deque
from contextlib import nullcontext
from dataclasses import replace

import pytest

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order
from archsearch.errors import ArchsearchError
from archsearch.exchange.latency import Latency, LatencyRequest
from archsearch.ir.codec import to_json
from archsearch.recipes.recipe import Recipe
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
from archsearch.study.loop import STOPPING, Loop
from archsearch.testing.fake_gauge import FakeGauge
from archsearch.training.job import EpochReport, Job, Outcome
from tests.networks import vgg_like

A, B, C = (trial_name(number) for number in range(3))
FINAL = "final-0000-seed1"


def order(key: str) -> Order:
    design = Design(name=key, label=key, origin="search", graph=key, flops=10)
    return Order(key=JobKey.parse(key), design=design, length=Length(400, 4), seed=0)


def begin(key: str) -> Begin:
    return Begin(order=order(key), trial=None if key == FINAL else int(key[-4:]))


def report(key: str, epoch: int, accuracy: float | None = None) -> EpochReport:
    return EpochReport(
        key=key, epoch=epoch, loss=1.0, accuracy=0.5, val_accuracy=accuracy or epoch / 10,
        images_per_s=1.0, images=100 * epoch, learning_rate=0.1, wall_s=1.0 * epoch,
    )  # fmt: skip


def outcome(key: str, status: str = "complete", epochs: int = 4, **changes) -> Outcome:
    made = Outcome(
        key=key, status=status, epochs=epochs, images=100 * epochs, val_accuracy=epochs / 10,
        test_accuracy=0.5,
    )  # fmt: skip
    return replace(made, **changes)


class Script(Phase):
    """Orders the steps, waiting while anything runs; `stops`: its verdicts, by key and epoch."""

    def __init__(self, log: list[str], *steps, stops=None, get_ready=False):
        self.log, self.steps, self.stops = log, deque(steps), stops or {}
        self.get_ready = get_ready
        self.running = 0
        self.rooms: list[int] = []
        self.outcomes: dict[str, Outcome] = {}
        self.found: list[Latency | str] = []

    def next(self, now_s, *, room):
        self.rooms.append(room)
        if not self.steps:
            return Rest.WAIT if self.running else Rest.DONE
        step = self.steps.popleft()
        self.running += isinstance(step, Begin | Measure)
        return step

    def heard(self, report, now_s):
        self.log.append(f"heard {report.key} {report.epoch}")
        return self.stops.get((report.key, report.epoch))

    def ended(self, order, outcome, now_s):
        self.log.append(f"ended {order.key} {outcome.status}")
        self.outcomes[str(order.key)] = outcome
        self.running -= 1

    def left_open(self, order, now_s):
        self.log.append(f"left open {order.key}")
        self.running -= 1

    def measured(self, found, now_s):
        self.log.append("measured")
        self.found.append(found)
        self.running -= 1

    def gets_ready(self, workers):
        return self.get_ready

    def settled(self, order):
        return str(order.key) != B


class ScriptedEngine:
    """Says what it is told to: a batch each time it is asked; what raises is raised."""

    workers = 2

    def __init__(self, log: list[str], *batches):
        self.log, self.batches = log, deque(batches)

    def submit(self, job):
        self.log.append(f"submit {job.key}")

    def stop(self, key):
        self.log.append(f"stop {key}")

    def events(self, timeout_s):
        batch = self.batches.popleft()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def close(self):
        raise AssertionError("whoever opened it closes it")


class Notes:
    """A recorder that notes what it is told."""

    def __init__(self, log: list[str]):
        self.log = log

    def together(self):
        return nullcontext()

    def begin(self, step):
        self.log.append(f"begin {step.order.key}")
        return Job(
            key=str(step.order.key), graph="", dataset="", recipe=Recipe(), images=400, seed=0
        )

    def fail(self, step):
        self.log.append(f"fail {step.order.key}")

    def report(self, order, trial, report):
        self.log.append(f"note {order.key} {report.epoch} of trial {trial}")

    def end(self, order, trial, outcome, *, settled):
        self.log.append(f"end {order.key} {outcome.status}{' for good' * settled}")

    def leave(self, order):
        self.log.append(f"leave {order.key}")

    def leave_all(self):
        self.log.append("leave all")

    def close(self, step):
        self.log.append(f"close {step.why}")

    def keep(self, step):
        self.log.append(f"keep {step.name}")

    def request(self, step):
        return LatencyRequest(graph=to_json(vgg_like()))

    def say(self, text):
        self.log.append(f"say {text}")


class Played:
    """A loop and all around it; `log` is everything that happened, in order."""

    def __init__(self, *steps, messages=(), stops=None, get_ready=False, **loop):
        self.log: list[str] = []
        self.phase = Script(self.log, *steps, stops=stops, get_ready=get_ready)
        self.engine = ScriptedEngine(self.log, *messages)
        options = {"clock": lambda: 0.0, "stopped": lambda: False, **loop}
        self.loop = Loop(self.engine, Notes(self.log), **options)

    def run(self, **options) -> bool:
        return self.loop.run(self.phase, **options)

    def of(self, *words: str) -> list[str]:
        return [line for line in self.log if line.startswith(words)]


def test_a_training_from_its_order_to_its_end():
    played = Played(begin(A), messages=[[report(A, 1)], [], [outcome(A)]])
    assert played.run()
    assert played.log == [
        f"begin {A}",
        f"submit {A}",
        f"note {A} 1 of trial 0",  # kept before anything follows from it
        f"heard {A} 1",
        f"ended {A} complete",
        f"end {A} complete for good",
    ]
    assert played.phase.rooms == [2, 1, 1, 1, 2]


def test_whether_a_trial_is_settled_is_the_phases_word():
    played = Played(begin(B), messages=[[outcome(B)]])
    assert played.run()
    assert played.log[-1] == f"end {B} complete"


def test_steps_go_to_the_recorder_in_order():
    steps = [Say("x"), Fail(order=order(A), trial=0, reason="-"), Keep(B, "died"), Close("no more")]
    played = Played(*steps)
    assert played.run()
    assert played.log == ["say x", f"fail {A}", f"keep {B}", "close no more"]


def test_epochs_that_come_again_are_passed_on_once():
    """A worker died, and another one went on from the last checkpoint."""
    epochs = [1, 2, 1, 2, 3, 3, 4]
    messages = [[report(A, epoch)] for epoch in epochs]
    played = Played(begin(A), messages=[*messages, [outcome(A)]])
    assert played.run()
    assert played.of("heard") == [f"heard {A} {epoch}" for epoch in (1, 2, 3, 4)]
    assert len(played.of("note")) == 4


def test_what_is_said_of_jobs_that_have_ended_is_not_heard():
    late = [report(A, 4), outcome(A, "failed"), report(B, 1), outcome(B)]
    played = Played(begin(A), begin(C), messages=[[outcome(A)], late, [outcome(C)]])
    assert played.run()
    assert played.of("heard", "ended") == [f"ended {A} complete", f"ended {C} complete"]


@pytest.mark.parametrize("status", ["pruned", "complete"])
def test_an_epoch_ahead_of_a_stop_does_not_count(status: str):
    """A worker is told after its report: it may have gone on by then, or come to its end."""
    ahead = [report(A, 3), report(A, 4), outcome(A, status)]
    played = Played(
        begin(A), messages=[[report(A, 1)], [report(A, 2)], ahead], stops={(A, 2): Stop("hopeless")}
    )
    assert played.run()
    assert played.of("heard", "stop") == [f"heard {A} 1", f"heard {A} 2", f"stop {A}"]
    ended = played.phase.outcomes[A]
    assert (ended.status, ended.reason) == ("pruned", "hopeless")
    assert (ended.epochs, ended.val_accuracy) == (2, 0.2)
    assert ended.images == 400  # those it has seen all the same: they were paid for


@pytest.mark.parametrize(
    ("stop", "status", "becomes"),
    [
        (Stop("late", open=True), "pruned", f"left open {FINAL}"),
        (Stop("late"), "pruned", f"ended {FINAL} failed"),
        (Stop("late", open=True), "complete", f"ended {FINAL} complete"),
    ],
)
def test_a_final_that_is_stopped_counts_only_if_it_came_to_its_end(stop, status, becomes):
    messages = [[report(FINAL, 1)], [outcome(FINAL, status)]]
    played = Played(begin(FINAL), messages=messages, stops={(FINAL, 1): stop})
    assert played.run()
    assert played.of("left open", "ended") == [becomes]
    assert played.of("leave") == [f"leave {FINAL}"] * becomes.startswith("left")


def test_a_worker_that_died_has_come_as_far_as_it_reported():
    died = Outcome(key=A, status="failed", reason="worker died: signal 9")
    played = Played(begin(A), messages=[[report(A, 1), report(A, 2)], [died]])
    assert played.run()
    ended = played.phase.outcomes[A]
    assert (ended.status, ended.epochs, ended.images) == ("failed", 2, 200)
    assert ended.val_accuracy is None


def test_what_is_abandoned_ends_at_once_or_stays_open():
    gone = Abandon("the time is up", open=frozenset({JobKey.parse(A)}))
    late = [report(A, 3), outcome(A), outcome(B)]
    steps = [begin(A), begin(B), Rest.WAIT, gone, begin(C)]
    played = Played(*steps, messages=[[report(A, 1), report(B, 2)], late, [outcome(C)]])
    assert played.run()
    assert played.log[4:] == [
        f"note {A} 1 of trial 0",
        f"heard {A} 1",
        f"note {B} 2 of trial 1",
        f"heard {B} 2",
        f"stop {A}",
        f"left open {A}",
        f"leave {A}",
        f"stop {B}",
        f"ended {B} failed",
        f"end {B} failed",
        f"begin {C}",
        f"submit {C}",
        f"ended {C} complete",
        f"end {C} complete for good",
    ]
    ended = played.phase.outcomes[B]
    assert (ended.reason, ended.epochs, ended.images) == ("the time is up", 2, 200)


# --- measuring ------------------------------------------------------------------------------------------


def fails(graph):
    raise ArchsearchError("the process that measures latency died: signal 9")


class Refusing(FakeGauge):
    def ask(self, request):
        raise ArchsearchError("no process can be started")


def test_a_measurement_beside_a_training():
    gauge = FakeGauge(lambda graph: 5.0, polls=2)
    messages = [[report(A, 1)], [report(A, 2)], [report(A, 3)], [outcome(A)]]
    played = Played(begin(A), Measure(graph="g"), messages=messages, gauge=gauge)
    assert played.run()
    assert played.log.index("measured") == played.log.index(f"heard {A} 3") + 1
    assert [found.median_ms for found in played.phase.found] == [5.0]


@pytest.mark.parametrize(
    ("gauge", "why"),
    [
        (FakeGauge(fails), "the process that measures latency died: signal 9"),
        (Refusing(lambda graph: 1.0), "no process can be started"),
    ],
)
def test_a_measurement_that_fails_is_told(gauge: FakeGauge, why: str):
    played = Played(Measure(graph="g"), gauge=gauge)
    assert played.run()
    assert played.phase.found == [why]


def test_a_measurement_is_dropped_once_and_not_asked_after():
    gauge = FakeGauge(lambda graph: 5.0, polls=10**9)
    closed: list[str] = []
    gauge.close = lambda: closed.append("closed")
    played = Played(Measure(graph="g"), DropMeasurement(), DropMeasurement(), gauge=gauge)
    played.phase.running = -1  # the phase has given it up
    assert played.run()
    assert closed == ["closed"]
    assert played.phase.found == []


# --- stopping -------------------------------------------------------------------------------------------


def stopped_at(call: int):
    calls = iter(range(10**6))
    return lambda: next(calls) >= call


def test_halting_waits_for_every_worker_and_leaves_what_is_open():
    messages = [
        [report(A, 1), report(B, 1)],
        [],
        [report(A, 2), outcome(A, "pruned", 2)],
        [],
        [outcome(B)],  # it was in its last epoch
    ]
    # The third order comes where the user has stopped it already.
    steps = [begin(A), begin(B), Say("on"), begin(C)]
    played = Played(*steps, messages=messages, stopped=stopped_at(2))
    assert not played.run()
    assert played.log[2:] == [
        "say on",
        f"submit {A}",
        f"submit {B}",
        f"say {STOPPING}",
        f"stop {A}",
        f"stop {B}",
        f"note {A} 1 of trial 0",
        f"heard {A} 1",
        f"note {B} 1 of trial 1",
        f"heard {B} 1",
        f"note {A} 2 of trial 0",
        f"heard {A} 2",
        f"ended {B} complete",
        f"end {B} complete",
        f"left open {A}",
        f"leave {A}",
        "leave all",
    ]
    assert not played.engine.batches


def test_what_was_to_stop_anyway_ends_as_it_would_have():
    """Whether before Ctrl-C or by what a worker reports while it halts: the table is the same."""
    messages = [
        [report(A, 1)],
        [report(B, 1), outcome(A, "pruned", 2), outcome(B, "pruned", 2)],
    ]
    stops = {(A, 1): Stop("hopeless"), (B, 1): Stop("hopeless")}
    played = Played(begin(A), begin(B), messages=messages, stops=stops, stopped=stopped_at(3))
    assert not played.run()
    assert played.of("ended") == [f"ended {A} pruned", f"ended {B} pruned"]
    assert {ended.epochs for ended in played.phase.outcomes.values()} == {1}
    assert played.log[-1] == "leave all"


def test_halting_drops_a_measurement_and_waits_for_nobody_where_nobody_trains():
    gauge = FakeGauge(lambda graph: 5.0, polls=10**9)
    played = Played(Measure(graph="g"), gauge=gauge, stopped=stopped_at(1))
    assert not played.run()
    assert gauge.closed
    assert played.log == ["leave all"]


def test_what_is_thrown_away_is_not_waited_for():
    played = Played(begin(A), messages=[[]], stopped=stopped_at(2), halts=False)
    assert not played.run()
    assert played.log == [f"begin {A}", f"submit {A}"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ArchsearchError("workers do not start")])
@pytest.mark.parametrize("halting", [False, True])
def test_stopped_at_once_nothing_looks_as_if_it_ran(error: BaseException, halting: bool):
    stopped = stopped_at(2 if halting else 10**6)
    played = Played(begin(A), messages=[[report(A, 1)], error], stopped=stopped)
    with pytest.raises(type(error)):
        played.run()
    assert played.log[-1] == "leave all"
    assert played.of("leave") == ["leave all"]
    assert bool(played.of("stop")) is halting


def test_a_storage_that_is_gone_is_what_is_told():
    played = Played(begin(A), messages=[ArchsearchError("the storage is gone")])
    recorder = played.loop._recorder

    def leave_all():
        raise ArchsearchError("and it still is")

    recorder.leave_all = leave_all
    with pytest.raises(ArchsearchError, match="the storage is gone"):
        played.run()


# --- getting ready --------------------------------------------------------------------------------------


@pytest.mark.parametrize("get_ready", [True, False])
def test_what_comes_after_gets_ready_once(get_ready: bool):
    messages = [[report(A, 1)], [report(A, 2)], [outcome(A)]]
    played = Played(begin(A), messages=messages, get_ready=get_ready)
    assert played.run(ready=lambda: played.log.append("ready"))
    assert played.of("ready") == ["ready"] * get_ready
    if get_ready:
        assert played.log.index("ready") == 2  # before anything is waited for
