"""The tracker that keeps runs in MLflow, from a thread of its own, off the training path."""

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from archsearch.tracking import connect
from archsearch.tracking.ledger import Ledger, check_artifacts
from archsearch.tracking.mlflow_store import EpochPoint, MlflowStore, first_point
from archsearch.tracking.records import (
    Ending,
    Epochs,
    ModelRecord,
    NetworkRecord,
    StudyRecord,
    TrialRecord,
    owned,
)
from archsearch.uris import shown_uri

_log = logging.getLogger(__name__)

_LINGER_S = 10.0  # epochs wait this long for others of their training, to be sent in one request
_PATIENCE_S = (1.0, 2.0, 5.0, 10.0, 30.0)  # between attempts at a store that does not answer
_ATTEMPTS = 3  # at one update, while the store answers to others
_AT_EXIT_S = 5.0  # for the thread to be through with what it does, where the process ends
_LAST_S = 0.5  # after its time is up, for the thread to note what is lost
_GOING_ON = 10  # times its patience that a tracker that is closed has at most, while updates arrive


@dataclass(frozen=True, slots=True)
class _Update:
    """One thing to write.

    Attributes:
        spare: whether a store that does not take it lacks nothing: not every one has a registry.
        points: epochs that it writes, too; `alone` writes it without them.
    """

    write: Callable[[MlflowStore], None]
    what: str
    spare: bool = False
    points: tuple[EpochPoint, ...] = ()
    alone: Callable[[MlflowStore], None] | None = None


@dataclass(slots=True)
class _Points:
    """What waits of one training to be sent together: what is known before it, and epochs.

    Attributes:
        since_s: when the first came.
        after: how many updates came before it: the start of its training is among them.
    """

    since_s: float
    after: int
    points: list[EpochPoint] = field(default_factory=list)


class MlflowTracker:
    """Keeps a study's runs in MLflow (see `Tracker`).

    MLflow is imported and its store opened on the background thread, once a study starts. A store
    that stops answering is tried again and again, and what came meanwhile is kept in memory; one
    warning says so, and `close` says what never arrived.

    Args:
        home: the folder of `mlflow.db` and `artifacts/`.
        tracking_uri: another store: a server's URL or a database.
        warn: told of trouble in one line, from the background thread.
        clock: seconds, by which epochs wait for others.

    Raises:
        UserError: the home can't be written.
    """

    def __init__(
        self,
        home: Path,
        *,
        tracking_uri: str | None = None,
        warn: Callable[[str], None] = _log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.uri = connect.store_uri(home, tracking_uri)
        self._home = home
        self._warn = warn
        self._clock = clock
        self._ledger = Ledger()
        self._state = threading.Condition()  # guards all below
        self._waiting: deque[_Update] = deque()
        self._points: dict[str, _Points] = {}  # by training, in the order the first of each came
        self._put_so_far = self._taken = 0  # updates
        self._current: list[_Update | EpochPoint] = []
        self._hurry = 0  # threads in flush
        self._closing = False
        self._patience_s = 0.0  # between two updates, once it is closed
        self._deadline = self._end = float("inf")
        self._opened = False
        self._trouble: BaseException | None = None  # the last failure, while it lasts
        self._dead = False  # the study could not be started, so nothing can be written
        self._lost: list[str] = []
        self._lost_why: BaseException | None = None
        self._experiment_id = ""
        self._thread = threading.Thread(target=self._work, name="mlflow-tracker", daemon=True)
        self._thread.start()

    # What the driver calls: each puts an update into the queue.

    def start_study(self, study: StudyRecord) -> None:
        """Open the study's parent run, or take up the one that is there."""
        check_artifacts(study.artifacts)
        self._ledger.start_study(study.name)
        record, at_ms = owned(study), _now_ms()
        self._put(_Update(lambda store: store.start_study(record, at_ms), "the study's start"))

    def network(self, network: NetworkRecord) -> None:
        """Open a network's run, or bring it up to date."""
        check_artifacts(network.artifacts)
        self._ledger.network(network.key)
        record, at_ms = owned(network), _now_ms()
        what = f"the figures of {network.key}"
        self._put(_Update(lambda store: store.network(record, at_ms), what))

    def start_trial(self, trial: TrialRecord) -> None:
        """Open a trial's run, or take up the one with its key."""
        check_artifacts(trial.artifacts)
        self._ledger.start_trial(trial.key, network=trial.network)
        record, at_ms = owned(trial), _now_ms()
        self._put(_Update(lambda store: store.start_trial(record, at_ms), f"{trial.key}'s start"))
        if record.metrics or record.knobs:
            self._add(first_point(record, at_ms))

    def epoch(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep an epoch's metrics (step counts from 1)."""
        if self._ledger.epoch(key):
            self._add(EpochPoint(key=key, step=step, at_ms=_now_ms(), metrics=dict(metrics)))

    def end_trial(self, key: str, ending: Ending) -> None:
        """Close a trial's run with its last figures; its learning curves are drawn and kept."""
        check_artifacts(ending.artifacts)
        self._ledger.end_trial(key)
        self._end_trial(key, owned(ending))

    def recall(self, trial: TrialRecord, ending: Ending, epochs: Epochs) -> None:
        """Have a trial of an earlier process, all of it."""
        check_artifacts(trial.artifacts)
        check_artifacts(ending.artifacts)
        self._ledger.start_trial(trial.key, network=trial.network)
        self._ledger.end_trial(trial.key)
        record, end, at_ms = owned(trial), owned(ending), _now_ms()
        what = f"the figures of {trial.key}"
        self._put(_Update(lambda store: store.recall(record, end, epochs, at_ms), what))

    def add_metrics(self, key: str, metrics: Mapping[str, float]) -> None:
        """Keep figures of a trial, running or ended, that have no epoch; kept ones stay."""
        self._ledger.check_known(key)
        at_ms, found = _now_ms(), dict(metrics)
        self._put(_Update(lambda store: store.add_metrics(key, found, at_ms), f"{key}'s figures"))

    def register(self, model: ModelRecord) -> None:
        """Have the winner in MLflow's Model Registry, with the alias `champion`."""
        self._ledger.check_known(model.training)
        what = "the winner for its Model Registry"
        self._put(_Update(lambda store: store.register(model), what, spare=True))

    def end_study(self, ending: Ending, *, description: str = "") -> None:
        """Close the parent run; trials still open are ended as interrupted."""
        check_artifacts(ending.artifacts)
        for key in self._ledger.end_study(ending.status):
            self._end_trial(key, Ending(status="interrupted"))
        end, at_ms = owned(ending), _now_ms()
        self._put(
            _Update(lambda store: store.end_study(end, description, at_ms), "the study's end")
        )

    @property
    def experiment_id(self) -> str:
        """MLflow's number for the study, once its start is kept; empty before."""
        with self._state:
            return self._experiment_id

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything said so far is kept and return whether it is; False: time ran out first."""
        with self._state:
            self._hurry += 1
            self._state.notify_all()
            try:
                return self._state.wait_for(self._idle, timeout_s)
            finally:
                self._hurry -= 1

    def close(self, timeout_s: float = 30.0) -> str | None:
        """Flush, let go of the store and return one line on what could not be kept, or None.

        A store that is slow, as others write to it, is given more time for as long as updates arrive.
        """
        self._ledger.close()
        with self._state:
            if not self._closing:
                self._closing, self._patience_s = True, timeout_s
                self._deadline = time.monotonic() + timeout_s
                self._end = time.monotonic() + _GOING_ON * timeout_s
            self._state.notify_all()
        while self._thread.is_alive() and time.monotonic() < self._deadline + _LAST_S:
            self._thread.join(max(0.0, self._deadline + _LAST_S - time.monotonic()))
        if self._thread.is_alive():
            # One that draws a picture, in C++, as the interpreter goes takes the process down by SIGABRT.
            atexit.register(self._thread.join, _AT_EXIT_S)
        with self._state:
            points = (point for one in self._points.values() for point in one.points)
            left = [*self._current, *points, *self._waiting] if self._thread.is_alive() else []
            lost = [*self._lost, *map(_what, left)]
            if not lost:
                return None
            why = self._lost_why or self._trouble or TimeoutError("no answer in time")
        return (
            f"MLflow store {shown_uri(self.uri)} lacks {_count(lost)} of this study"
            f" (first: {lost[0]}): {connect.reason(why)}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if (problem := self.close()) is not None:
            self._warn(problem)

    @property
    def behind(self) -> bool:
        """Whether something waits that is due: epochs may wait for others."""
        with self._state:
            return bool(self._waiting or self._current or self._due())

    def _end_trial(self, key: str, end: Ending) -> None:
        at_ms = _now_ms()
        with self._state:  # what still waits of it comes in the same request
            waiting = self._points.pop(key, None)
        points = () if waiting is None else tuple(waiting.points)
        self._put(
            _Update(
                lambda store: store.end_trial(key, end, at_ms, points),
                f"{key}'s end",
                points=points,
                alone=lambda store: store.end_trial(key, end, at_ms),
            )
        )

    def _put(self, update: _Update) -> None:
        with self._state:
            if self._closing:
                raise ValueError("the tracker is closed")
            self._waiting.append(update)
            self._put_so_far += 1
            self._state.notify_all()

    def _add(self, point: EpochPoint) -> None:
        with self._state:
            if self._closing:
                raise ValueError("the tracker is closed")
            made = _Points(self._clock(), self._put_so_far)
            self._points.setdefault(point.key, made).points.append(point)
            self._state.notify_all()

    def _idle(self) -> bool:
        return not self._waiting and not self._points and not self._current

    def _due(self) -> list[str]:
        """Return the trainings whose epochs have waited long enough, and whose start is written."""
        now_s, at_once = self._clock(), self._closing or self._hurry > 0
        return [
            key
            for key, one in self._points.items()
            if one.after <= self._taken and (at_once or now_s - one.since_s >= _LINGER_S)
        ]

    # What the background thread does.

    def _work(self) -> None:
        store: MlflowStore | None = None
        failures = 0
        while self._take():
            if self._dead or time.monotonic() > self._deadline:
                self._drop(None)
                continue
            try:
                store = store or MlflowStore(self.uri, self._home)
                _write(store, self._current)
            except Exception as error:
                failures += 1
                _log.debug("MLflow update failed", exc_info=error)
                if not connect.may_pass(error):
                    self._refused(error)
                elif connect.is_locked(error):
                    self._wait(error, failures)
                    continue
                elif failures >= _ATTEMPTS and store is not None and _answers(store):
                    self._refused(error)  # the store is well, it is this update that it can't take
                else:
                    self._wait(error, failures)
                    continue
            else:
                self._done(store)
            failures = 0

    def _take(self) -> bool:
        """Wait for the next update, or for epochs that are due, of any trainings; False: all is done."""
        with self._state:
            if self._current:  # failed before, tried again
                return True
            while not (due := self._due()) and not self._waiting:
                if self._closing and not self._points:
                    return False
                self._state.wait(_LINGER_S / 10 if self._points else None)
            if due:
                self._current = [point for key in due for point in self._points.pop(key).points]
            else:
                self._current = [self._waiting.popleft()]
                self._taken += 1
            return True

    def _done(self, store: MlflowStore) -> None:
        with self._state:
            back = self._trouble is not None
            self._trouble = None
            self._opened = True
            self._experiment_id = store.experiment_id
            self._current = []
            if self._closing:
                self._deadline = min(self._end, time.monotonic() + self._patience_s)
            self._state.notify_all()
        if back:
            self._warn(f"MLflow store {shown_uri(self.uri)} answers again")

    def _wait(self, error: Exception, failures: int) -> None:
        """Say (once an outage) that the store does not answer; wait before the next attempt."""
        with self._state:
            first = self._trouble is None
            self._trouble = error
            self._state.notify_all()
        if first:
            self._warn(
                f"MLflow store {shown_uri(self.uri)}: {connect.reason(error)}; "
                "training goes on, what is tracked waits in memory"
            )
        pause = _PATIENCE_S[min(failures, len(_PATIENCE_S)) - 1]
        with self._state:
            if not self._closing:
                self._state.wait_for(lambda: self._closing, pause)
            else:  # not for long any more
                self._state.wait(max(0.0, min(1.0, self._deadline - time.monotonic())))

    def _refused(self, error: Exception) -> None:
        """Go on without what the store does not take; say so the first time.

        What was sent together is tried apart first.
        """
        if parts := _apart(self._current):
            with self._state:
                self._current = []
                self._waiting.extendleft(reversed(parts))
                self._taken -= len(parts)
            return
        with self._state:
            spare = isinstance(self._current[0], _Update) and self._current[0].spare
            first = self._lost_why is None or spare
            what = _what(self._current[0])
            if not self._opened:
                self._dead = True  # without a parent run there is nowhere to put the rest
                self._trouble = error
        self._drop(error, lost=not spare)
        if first:
            self._warn(
                f"MLflow store {shown_uri(self.uri)} does not take {what}: "
                f"{connect.reason(error)}; training goes on without it"
            )

    def _drop(self, error: Exception | None, *, lost: bool = True) -> None:
        with self._state:
            if lost:
                for update in self._current:
                    self._lost += map(_what, update.points if isinstance(update, _Update) else ())
                    self._lost.append(_what(update))
                self._lost_why = self._lost_why or error
            self._current = []
            self._state.notify_all()


def _write(store: MlflowStore, updates: list[_Update | EpochPoint]) -> None:
    points = [update for update in updates if isinstance(update, EpochPoint)]
    if points:
        store.epochs(points)
    for update in updates:
        if isinstance(update, _Update):
            update.write(store)


def _apart(updates: list[_Update | EpochPoint]) -> list[_Update]:
    """Return what was sent together as updates of their own; none where it is one."""
    if len(updates) > 1:
        return [_of_point(update) for update in updates if isinstance(update, EpochPoint)]
    (update,) = updates
    if not isinstance(update, _Update) or update.alone is None or not update.points:
        return []
    return [*map(_of_point, update.points), _Update(update.alone, update.what)]


def _of_point(point: EpochPoint) -> _Update:
    return _Update(lambda store: store.epochs([point]), _what(point))


def _answers(store: MlflowStore) -> bool:
    try:
        store.ping()
    except Exception:
        return False
    return True


def _what(update: _Update | EpochPoint) -> str:
    if isinstance(update, _Update):
        return update.what
    if not update.step:
        return f"what {update.key} begins with"
    return f"epoch {update.step} of {update.key}"


def _count(lost: list[str]) -> str:
    return "1 update" if len(lost) == 1 else f"{len(lost)} updates"


def _now_ms() -> int:
    return int(time.time() * 1000)
