"""The search: asks for knobs, has the networks trained, prunes, and tells what came of them.

Trial n is asked for once trials up to n − window have been told, and results are told in the
order of their numbers, whichever worker is first. So a study's table depends on its seed and
settings, not on timing; and a study that was cut off goes on as if nothing had happened. The window
is somewhat wider than there are workers: one that is through with its trial need not wait for a
slower one (see proposals.window_of).
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import FULL
from archsearch.archive.store import StudyStore, Trial
from archsearch.engines.engine import Engine
from archsearch.errors import ArchsearchError
from archsearch.planning.limits import Limits
from archsearch.strategy.latency_fit import Fitting
from archsearch.strategy.proposals import Plan, Proposal, Proposer, trial_entry, trial_key
from archsearch.strategy.sampler import View
from archsearch.study.journal import Entry, Journal
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import counted, format_count, format_ms

POLL_S: Final = 0.25
STOPPING: Final = "stopping after the epochs under way; Ctrl-C once more stops at once"
_FIT_POLL_S: Final = 0.05
_HOPELESS_FITS: Final = 5
"""After so many trials, none of them quick enough, there is no use in going on."""


class Interrupted(ArchsearchError):  # noqa: N818  nothing is wrong: the user asked for it
    """The user stopped the run; all is saved."""

    status = 130


@dataclass(slots=True)
class _Running:
    """A trial that is being trained: its last epoch, and accuracies after those that were evaluated."""

    entry: Entry
    view: View
    epoch: int = 0
    reports: dict[int, float] = field(default_factory=dict)
    pruned_at: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A trial whose network is being fitted to the bound on latency; it is not stored yet."""

    proposal: Proposal
    view: View
    fitting: Fitting
    began: float


class Search:
    """Runs the trials of one study, or those that are left of it.

    `idle` is called once, when a worker waits for the last trials of the others: its core is free.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        store: StudyStore,
        folder: StudyFolder,
        engine: Engine,
        journal: Journal,
        limits: Limits | None = None,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._plan = plan
        self._idle: Callable[[], None] | None = idle
        self._limits = limits or Limits()
        self._store = store
        self._proposer = Proposer(plan, store, folder)
        self._engine = engine
        self._journal = journal
        self._running: dict[str, _Running] = {}
        self._pending: _Pending | None = None
        self._told = 0
        # No other trial fitted in an earlier process, or there was no other network.
        self._exhausted = "ended" in store.attributes

    def run(self) -> None:
        """Run until all trials are told.

        Raises:
            Interrupted: the plan's `stopped` said so; every worker has finished its epoch.
            KeyboardInterrupt: at once; checkpoints are what is left of trials under way.
        """
        try:
            self._take_up()
            while self._go_on():
                for event in self._engine.events(_FIT_POLL_S if self._pending else POLL_S):
                    if isinstance(event, EpochReport):
                        self._report(event)
                    else:
                        self._end(event)
                if self._plan.stopped():
                    self._halt()
                if self._limits.over and self._running:
                    self._abandon()
        except KeyboardInterrupt:
            self._leave_open()
            raise

    def _go_on(self) -> bool:
        """Tell and ask as far as that is possible now; False when the search is over."""
        if self._plan.stopped():
            self._halt()
        while self._tell_next() or self._ask_next():
            pass
        if self._idle is not None and self._leaves_a_core_idle and self._running:
            self._idle()
            self._idle = None
        return bool(self._running or self._pending)

    @property
    def _leaves_a_core_idle(self) -> bool:
        """Whether no trial is left to begin, and a worker has nothing to do any more."""
        asked = self._exhausted or len(self._store) >= self._plan.trials
        return asked and len(self._running) < self._engine.workers

    # --- asking -----------------------------------------------------------------------------------

    def _ask_next(self) -> bool:
        if self._pending is not None:
            return self._fitted(self._pending)
        number = len(self._store)
        ready = self._told > number - self._plan.window
        room = len(self._running) < self._engine.workers
        if number >= self._plan.trials or not ready or not room or self._exhausted:
            return False
        if not self._limits.admits_trial():
            if not self._running:  # one that is pruned may yet leave room for another
                self._store.set_attribute(FULL, True)
                self._end_early(
                    f"the search ends after {counted(number, 'trial')}: no other fits into "
                    f"{self._limits.text} with the finals"
                )
            return False
        if number >= _HOPELESS_FITS and all(_too_slow(trial) for trial in self._store.trials):
            self._end_early(
                f"the search ends after {counted(number, 'trial')}: none of them is quick enough"
            )
            return False
        view = self._proposer.view(number)
        proposal = self._proposer.propose(view)
        if proposal is None:
            self._end_early(
                f"the search ends after {number} of {self._plan.trials} trials: "
                "every network the space has for this budget has been trained"
            )
            return False
        bound, candidate = self._plan.latency, proposal.candidate
        if bound is None or candidate is None:
            self._add(proposal, view)
            return True
        fitting = Fitting(bound, proposal.knobs, candidate)
        self._pending = _Pending(proposal, view, fitting, self._limits.clock())
        return self._fitted(self._pending)

    def _fitted(self, pending: _Pending) -> bool:
        """Add a trial whose network is quick enough now; False while it is being measured."""
        if not pending.fitting.poll():
            if self._limits.over:
                self._drop_pending()
                self._end_early(
                    f"the search ends within a trial's measurement: {self._limits.text}"
                )
            return False
        self._pending = None
        self._limits.fitted(self._limits.clock() - pending.began)
        self._add(pending.proposal, pending.view, pending.fitting)
        return True

    def _drop_pending(self) -> None:
        """Give up measuring: the trial has not begun, a resumed study proposes it again."""
        if self._pending is not None:
            self._pending.fitting.close()
            self._pending = None

    def _add(self, proposal: Proposal, view: View, fitting: Fitting | None = None) -> None:
        """Keep a trial and begin it, or say why it has no network."""
        facts = self._proposer.facts(proposal, fitting)
        trial = self._store.add(proposal.knobs, self._plan.knobs, facts)
        fault = proposal.fault or (fitting.fault if fitting else "")
        if fault:
            key = trial_key(trial.number)
            self._keep(trial.number, Outcome(key=key, status="failed", reason=fault))
            return
        if fitting is not None and fitting.bound:
            (flops, ms), *_ = fitting.facts["measured"]
            self._journal.notice(
                f"{facts['name']}: {format_ms(fitting.facts['ms'])} ms a call at "
                f"{format_count(facts['flops'])} FLOPs; {format_ms(ms)} ms at {format_count(flops)} "
                "were too slow"
            )
        self._start(trial, view)

    def _end_early(self, why: str) -> None:
        self._exhausted = True
        self._store.set_attribute("ended", why)
        self._journal.notice(why)

    def _start(self, trial: Trial, view: View) -> None:
        entry = trial_entry(trial)
        self._running[entry.key] = _Running(entry, view)
        self._limits.started(entry.key, 3 * entry.facts["flops"] * entry.images, entry.epochs)
        self._engine.submit(self._journal.start(entry))

    # --- what comes back ----------------------------------------------------------------------------

    def _report(self, report: EpochReport) -> None:
        running = self._running.get(report.key)
        # A worker may be an epoch ahead of the decision to stop it; that epoch does not count.
        if running is None or running.pruned_at is not None:
            return
        if report.epoch <= running.epoch:  # its worker died, and another one went on
            return
        running.epoch = report.epoch
        accuracy = report.val_accuracy
        if accuracy is not None:
            running.reports[report.epoch] = accuracy
            if math.isfinite(accuracy):
                self._store.report(running.view.number, report.epoch, accuracy)
        self._journal.epoch(report)
        self._limits.reported(report)
        if accuracy is not None and self._hopeless(running, report.epoch):
            running.why = f"below the median of the trials before it after epoch {report.epoch}"
        elif self._limits.cuts_trial(report):
            running.why = f"cut short by {self._limits.text} after epoch {report.epoch}"
        if running.why:
            running.pruned_at = report.epoch
            self._engine.stop(report.key)

    def _hopeless(self, running: _Running, epoch: int) -> bool:
        warmup = max(1, running.entry.epochs // 3)
        if not self._plan.prune or epoch <= warmup or epoch >= running.entry.epochs:
            return False
        # A trial taken up again has reports of its first life, up to this epoch at least.
        before = self._store[running.view.number].reports
        reports = {e: accuracy for e, accuracy in before.items() if e <= epoch}
        return running.view.hopeless(reports, warmup=warmup)

    def _end(self, outcome: Outcome) -> None:
        running = self._running.pop(outcome.key, None)
        if running is None:
            return
        self._limits.ended(outcome, trial=True)
        if running.pruned_at is not None:
            # Whatever became of it in the epoch it was ahead.
            outcome = replace(
                outcome,
                status="pruned",
                epochs=running.pruned_at,
                val_accuracy=running.reports[max(running.reports)],
                reason=running.why,
            )
        elif outcome.status == "pruned":
            outcome = replace(outcome, status="failed", reason="stopped without being asked to")
        self._keep(running.view.number, checked(outcome))

    def _keep(self, number: int, outcome: Outcome) -> None:
        self._store.note(number, "outcome", asdict(outcome))
        trial = self._store[number]
        if trial.notes["flops"]:
            self._journal.end(trial_entry(trial), outcome)
        else:  # there was no network, so nothing has begun
            self._journal.notice(f"{outcome.key}: {outcome.reason}")

    def _tell_next(self) -> bool:
        """Tell the next trial in order, if it has ended."""
        if self._told >= len(self._store):
            return False
        trial = self._store[self._told]
        kept = trial.notes.get("outcome")
        if kept is None:
            return False
        if not trial.finished:
            accuracy = None if kept["status"] == "failed" else kept["val_accuracy"]
            self._store.move(trial.number, kept["status"], accuracy)
        self._told += 1
        return True

    # --- stopping and going on ------------------------------------------------------------------------

    def _take_up(self) -> None:
        """Bring an earlier process's trials to where they were."""
        for trial in self._store.trials:
            kept = trial.notes.get("outcome")
            if kept is not None:
                if trial.notes["flops"]:
                    self._journal.replay(trial_entry(trial), Outcome(**kept))
                self._tell_next()
        for trial in self._store.trials:
            if "outcome" not in trial.notes:
                self._store.move(trial.number, "running")
                self._start(trial, self._proposer.view(trial.number))

    def _abandon(self) -> None:
        """Give up what runs although the time is up: its epoch is longer than was to be expected."""
        for key in list(self._running):
            reason = f"cut short by {self._limits.text} within an epoch"
            self._end(Outcome(key=key, status="failed", reason=reason))
        self._end_early(f"the search ends within an epoch: {self._limits.text} is over")

    def _halt(self) -> None:
        """Have all workers finish their epoch, and leave what is under way for `resume`."""
        self._drop_pending()
        if self._running:
            self._journal.notice(STOPPING)
        halt(self._engine, list(self._running), self._report, self._finish_halted)
        for running in self._running.values():
            self._journal.end(running.entry, None)
        self._leave_open()
        raise interrupted(self._store)

    def _leave_open(self) -> None:
        for trial in self._store.trials:
            if not trial.finished:  # also those that have ended, but after one that has not
                self._store.move(trial.number, "waiting")

    def _finish_halted(self, outcome: Outcome) -> None:
        """Take an outcome that came while stopping; one that was cut short stays open."""
        running = self._running.get(outcome.key)
        if running is not None and (outcome.status == "complete" or running.pruned_at is not None):
            self._end(outcome)


def interrupted(store: StudyStore) -> Interrupted:
    """Return what is raised where the user stopped a study's run; how to go on is the driver's to say."""
    return Interrupted(f"study {store.name!r} was interrupted")


def halt(
    engine: Engine,
    keys: list[str],
    on_report: Callable[[EpochReport], None],
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Stop jobs after the epoch they are in, and wait for that."""
    left = set(keys)
    for key in keys:
        engine.stop(key)
    while left:
        for event in engine.events(POLL_S):
            if isinstance(event, EpochReport):
                on_report(event)
            else:
                left.discard(event.key)
                on_outcome(event)


def checked(outcome: Outcome) -> Outcome:
    """Return the outcome, as `failed` if what it says makes no sense."""
    if outcome.status == "failed":
        return replace(
            outcome, val_accuracy=None, val_loss=None, test_accuracy=None, test_loss=None
        )
    if outcome.val_accuracy is None or not math.isfinite(outcome.val_accuracy):
        reason = f"its validation accuracy is {outcome.val_accuracy}"
        return checked(replace(outcome, status="failed", reason=reason))
    return replace(
        outcome, val_loss=_finite(outcome.val_loss), test_loss=_finite(outcome.test_loss)
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _too_slow(trial: Trial) -> bool:
    return "latency_fit" in trial.notes and not trial.notes["flops"]
