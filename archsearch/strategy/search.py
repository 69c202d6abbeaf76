"""The search as a phase: orders networks, cuts trainings short, promotes, and says when it is over.

Decisions are numbered in a fixed order: decision n is made once decisions up to n − window have been
told, and knows what came of those alone, whichever worker is first. So a study's table depends on its
seed and settings, not on timing; and a study that was cut off goes on as if nothing had happened. The
window is somewhat wider than there are workers: one that is through with its training need not wait for
a slower one (see `window_of`).
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from archsearch.archive.design import Design, Origin, design_of
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.exchange.latency import Latency
from archsearch.seeds import derive_seed
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelity import Fidelity, Promotion
from archsearch.strategy.latency_fit import MEASURE_S, Fitting, LatencyBound
from archsearch.strategy.novelty import Proposal
from archsearch.strategy.phase import (
    Abandon,
    Begin,
    Close,
    DropMeasurement,
    Fail,
    Measure,
    Phase,
    Rest,
    Say,
    Step,
    Stop,
    Verdict,
)
from archsearch.strategy.sampler import Choices, Known, Sampler, Sequential
from archsearch.strategy.slices import Samplers, Slices
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import counted, format_count, format_ms

_HOPELESS_FITS: Final = 5
"""Trials after which the search ends where none of them was quick enough."""


def window_of(workers: int) -> int:
    """Return the window of a search with so many workers: half as many trainings more.

    Trainings differ in length, though they have the same FLOPs. Without any to spare, two workers waited
    for one another a tenth of the time; every one to spare is a result less to go by.
    """
    return workers + workers // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchPlan:
    """What a search is asked for.

    Attributes:
        choices: what is chosen from.
        sampler: chooses; of several budgets one for each.
        fidelity: decides on lengths.
        length: the full length of a training, from a network's FLOPs.
        matched: whether the space's classic is the first trial.
        window: decisions, its own included, that one does not know the results of (see `window_of`).
        prune: whether trainings may be cut short.
        latency: what a call of any network may take; None: anything.
    """

    choices: Choices
    sampler: Sampler | Samplers
    fidelity: Fidelity
    length: Callable[[int], Length]
    matched: bool = True
    window: int
    prune: bool = True
    latency: LatencyBound | None = None


@dataclass(slots=True)
class _Running:
    """A training that runs: what was known of its slice when it was ordered, and its accuracies since.

    Those are of one try; `before` are the epochs of a first one that stalled.
    """

    order: Order
    trial: int
    known: Known
    before: int = 0
    curve: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pending:
    """A proposal whose network is being fitted to the bound on latency; it is no trial yet."""

    proposal: Proposal
    fitting: Fitting
    known: Known
    began_s: float


class Search(Phase):
    """Decides on the trials of one study, or those that are left of it (see `Phase`).

    Args:
        plan: what is asked for.
        bounds: on time and FLOPs.
        trials: of an earlier process, by number.
        closed: whether an earlier process has found that there is nothing more to order.
    """

    def __init__(
        self,
        plan: SearchPlan,
        *,
        bounds: Bounds,
        trials: Sequence[Trial] = (),
        closed: bool = False,
    ) -> None:
        self._plan = plan
        self._bounds = bounds
        self._trials = list(trials)
        self._slices = Slices(plan.choices, plan.sampler, self._trials)
        self._decisions: list[int] = []  # the trial each decision was about
        self._counts: list[int] = []  # trials there were after each
        for number in _decisions(self._trials):
            self._note(number)
        self._told = 0
        self._running: dict[JobKey, _Running] = {}
        self._again = deque(_unfinished(self._trials))
        self._closed = closed
        self._said: deque[Step] = deque()
        self._pending: _Pending | None = None
        self._measuring = False

    # --- what is to be done -----------------------------------------------------------------------

    def next(self, now_s: float, *, room: int) -> Step:
        """Return what to do now."""
        self._bounds.at(now_s)
        if self._said:
            return self._said.popleft()
        if self._again:
            return self._resumed(self._again.popleft())
        if self._bounds.over and self._running:
            return self._abandoned()
        if self._pending is not None:
            return self._fitted(self._pending)
        step = self._decided(room)
        if step is Rest.WAIT and not self._running:
            return Rest.DONE
        return step

    def gets_ready(self, workers: int) -> bool:
        """Whether no trial is left to begin, and a worker has nothing to do any more."""
        return self._nothing_new and bool(self._running) and len(self._running) < workers

    @property
    def _nothing_new(self) -> bool:
        """Whether no trial is left to begin."""
        return self._closed or len(self._trials) >= self._plan.choices.trials

    def settled(self, order: Order) -> bool:
        """Whether the trial has trained at its full length, or was given up."""
        trial = self._trials[self._decisions_of(order)]
        ended = trial.best_known
        if ended is None or ended.outcome is None or ended.outcome.status != "complete":
            return True
        return ended.order.key.rung == len(self._rungs(trial.design)) - 1

    def _decided(self, room: int) -> Step:
        """Return what the next decision says; WAIT until it is time for it."""
        decision = len(self._decisions)
        self._tell()
        if room < 1 or self._told <= decision - self._plan.window:
            return Rest.WAIT
        known = self._known(decision)
        for promotion in self._promotions(known):
            if self._admits(promotion):
                return self._promoted(promotion, known)
        if not self._nothing_new:
            return self._asked(known)
        if self._running or not self._trials:
            return Rest.WAIT
        # Nothing new is left to try: now everything that has ended may be known.
        known = self._known_at_once(decision, 0)
        promotions = list(self._promotions(known, closing=True))
        for promotion in promotions:
            if self._admits(promotion, closing=True):
                return self._promoted(promotion, known)
        if not promotions or self._closed:
            return Rest.DONE
        return self._closing(
            f"the search ends with trainings of part of the length: no longer one fits into "
            f"{self._bounds.text_with_finals}",
            full=True,
        )

    def _promotions(self, known: Known, *, closing: bool = False) -> Iterator[Promotion]:
        plan = self._plan
        return self._slices.promotions(plan.fidelity, known, plan.length, closing=closing)

    def _admits(self, promotion: Promotion, *, closing: bool = False) -> bool:
        """Whether a longer training fits; a new trial, which begins with a short one, still may."""
        trial = self._trials[promotion.trial]
        rungs = self._rungs(trial.design)
        known_s = None
        if (ended := trial.best_known) is not None and ended.outcome is not None:
            # What a network took for a part of the length, it will take again: equal FLOPs take from one to
            # four times as long.
            share = ended.order.length.images / rungs[-1].images
            known_s = self._bounds.in_full_s(ended.outcome.total_s, share)
        share = rungs[promotion.rung].images / rungs[-1].images
        return self._bounds.admits_trial(share, known_s=known_s, closing=closing)

    def _asked(self, known: Known) -> Step:
        """Return a new trial to begin, or why there is none."""
        number, plan = len(self._trials), self._plan
        if not self._bounds.admits_trial(self._first_share()):
            if self._running:  # one that is pruned may yet leave room for another
                return Rest.WAIT
            return self._closing(
                f"the search ends after {counted(number, 'trial')}: no other fits into "
                f"{self._bounds.text_with_finals}",
                full=True,
            )
        if number >= _HOPELESS_FITS and all(_too_slow(trial) for trial in self._trials):
            return self._closing(
                f"the search ends after {counted(number, 'trial')}: none of them is quick enough"
            )
        sampler = plan.sampler
        if isinstance(sampler, Sequential) and (answer := sampler.enough(known)):
            return self._closing(f"the search ends after {counted(number, 'trial')}: {answer}")
        proposal = self._proposal(known)
        if proposal is None:
            return self._closing(
                f"the search ends after {number} of {plan.choices.trials} trials: "
                "every network the space has for this budget has been trained"
            )
        if plan.latency is None or proposal.candidate is None:
            return self._begun(proposal, known)
        fitting = Fitting(plan.latency, proposal.knobs, proposal.candidate)
        self._pending = _Pending(proposal, fitting, known, self._bounds.now_s)
        return self._fitted(self._pending)

    def _proposal(self, known: Known) -> Proposal | None:
        classic = self._plan.choices.classic
        if not self._trials and self._plan.matched and classic is not None:
            return self._slices.classic(classic)
        return self._slices.propose(known)

    def _closing(self, why: str, *, full: bool = False) -> Close:
        self._closed = True
        return Close(why, full=full)

    def _abandoned(self) -> Abandon:
        """Give up what runs although the time is up: its epoch is longer than was to be expected."""
        if not self._closed:
            text = self._bounds.text
            why = f"the search ends within an epoch: {text} is over"
            self._said.append(self._closing(why, full=True))
        return Abandon(f"cut short by {self._bounds.text} within an epoch")

    # --- beginning --------------------------------------------------------------------------------

    def _begun(self, proposal: Proposal, known: Known, fitting: Fitting | None = None) -> Step:
        """Return the beginning of a trial made of a proposal; one without a network fails at once."""
        design = self._design(proposal, fitting)
        order = Order(
            key=JobKey("search", design.name),
            design=design,
            knobs=proposal.knobs,
            length=self._rungs(design)[0] if design.exists else Length(0, 0),
            seed=derive_seed(known.seed, "trial") if design.exists else 0,
            decision=known.decision,
        )
        number = self._add(order, skipped=proposal.skipped)
        fault = proposal.fault or (fitting.fault if fitting else "")
        if fault:
            self._end(number, order, Outcome(key=str(order.key), status="failed", reason=fault))
            return Fail(order=order, trial=number, reason=fault, skipped=proposal.skipped)
        self._start(order, number, known)
        candidate = fitting.candidate if fitting else proposal.candidate
        assert candidate is not None
        begin = Begin(
            order=order, trial=number, network=candidate.graph, new=True, skipped=proposal.skipped
        )
        if fitting is None or not fitting.bound:
            return begin
        self._said.append(begin)
        return Say(_slower(design))

    def _promoted(self, promotion: Promotion, known: Known) -> Step:
        """Return the beginning of a trial's longer training."""
        trial = self._trials[promotion.trial]
        rungs = self._rungs(trial.design)
        order = Order(
            key=JobKey("search", trial.design.name, rung=promotion.rung),
            design=trial.design,
            knobs=trial.knobs,
            length=rungs[promotion.rung],
            seed=derive_seed(known.seed, "trial"),
            decision=known.decision,
        )
        self._note(trial.number)
        trainings = (*trial.trainings, Training(order=order))
        self._trials[trial.number] = replace(trial, trainings=trainings)
        # Its peers are those of any decision of that number, also where this one knew more.
        self._start(order, trial.number, self._known(known.decision))
        return Begin(order=order, trial=trial.number)

    def _resumed(self, training: tuple[int, Order]) -> Step:
        """Return how a training of an earlier process goes on."""
        number, order = training
        assert order.decision is not None
        if not order.design.exists:  # version 0.1 kept such a trial in two writings
            reason = "it has no network; the process that tried it was killed before it said why"
            self._end(number, order, Outcome(key=str(order.key), status="failed", reason=reason))
            return Fail(order=order, trial=number, reason=reason, again=True)
        self._start(order, number, self._known(order.decision))
        return Begin(order=order, trial=number, again=True)

    def _add(self, order: Order, *, skipped: int) -> int:
        number = len(self._trials)
        trial = Trial(
            number=number,
            knobs=order.knobs,
            design=order.design,
            skipped=skipped,
            trainings=(Training(order=order),),
        )
        self._trials.append(trial)
        self._note(number)
        self._slices.add(trial)
        return number

    def _start(self, order: Order, number: int, known: Known) -> None:
        here, _ = self._slices.within(known, order.design.budget)
        self._running[order.key] = _Running(order, number, here)
        share = order.length.images / self._rungs(order.design)[-1].images
        self._bounds.started(str(order.key), order.flops, order.length.epochs, share=share)

    def _first_share(self) -> float:
        """Return the part of the full length that a trial begins with; all of it before the first one."""
        for trial in reversed(self._trials):
            if trial.design.exists:
                rungs = self._rungs(trial.design)
                return rungs[0].images / rungs[-1].images
        return 1.0

    def _rungs(self, design: Design) -> tuple[Length, ...]:
        return self._plan.fidelity.rungs(self._plan.length(design.flops))

    def _design(self, proposal: Proposal, fitting: Fitting | None) -> Design:
        name, full = trial_name(len(self._trials)), proposal.candidate
        origin: Origin = "matched" if proposal.classic else "search"
        found = Design(
            name=name,
            label="no network" if full is None else full.title,
            origin=origin,
            graph=f"none-{len(self._trials)}",
            budget=proposal.budget,
        )
        candidate = fitting.candidate if fitting else full
        if full is not None and candidate is not None and not (fitting and fitting.fault):
            suffix = " latency-bound" if fitting and fitting.bound else ""
            found = design_of(candidate, name=name, origin=origin, suffix=suffix)
            # A network that latency made smaller fills less of the study's budget.
            fill = full.fill * candidate.cost.flops / full.cost.flops
            found = replace(found, fill=fill, budget=proposal.budget)
        if fitting is None:
            return found
        return replace(found, latency_fit=fitting.result, budget_graph=proposal.graph)

    # --- fitting to a bound on latency --------------------------------------------------------------

    def _fitted(self, pending: _Pending) -> Step:
        """Begin a trial whose network is quick enough now, or have it measured."""
        if pending.fitting.over:
            self._pending = None
            self._bounds.fitted(self._bounds.now_s - pending.began_s)
            return self._begun(pending.proposal, pending.known, pending.fitting)
        if self._bounds.over:
            self._pending = None
            why = f"the search ends within a trial's measurement: {self._bounds.text}"
            self._said.append(self._closing(why, full=True))
            return DropMeasurement()
        if self._measuring:
            return Rest.WAIT
        self._measuring = True
        return Measure(
            graph=pending.proposal.graph,
            network=pending.fitting.wanted.graph,
            seconds=MEASURE_S,
            attempts=1,
        )

    def measured(self, found: Latency | str, now_s: float) -> None:
        """Take the latency of the network that is being fitted."""
        self._bounds.at(now_s)
        self._measuring = False
        if self._pending is None:
            return
        if isinstance(found, str):
            self._pending.fitting.fail(found)
        else:
            self._pending.fitting.tell(found)

    # --- what comes back ----------------------------------------------------------------------------

    def heard(self, report: EpochReport, now_s: float) -> Verdict:
        """Take a report; say whether its training is hopeless, or has no time left."""
        self._bounds.at(now_s)
        running = self._running[JobKey.parse(report.key)]
        accuracy = report.val_accuracy
        if report.before != running.before:
            running.before = report.before
            running.curve.clear()
        if accuracy is not None:
            running.curve[report.epoch] = accuracy
        self._bounds.reported(report)
        # A second try was judged in the first one; it is there to see whether the network learns at all.
        judged = accuracy is not None and self._plan.prune and not report.before
        if judged and (why := self._hopeless(running)):
            return Stop(why)
        # Where nothing new is tried any more, a longer training may have been admitted as one of the last.
        last = running.order.key.rung > 0 and self._nothing_new
        if self._bounds.cuts_trial(report, closing=last):
            return Stop(f"cut short by {self._bounds.text} after epoch {report.epoch}")
        return None

    def _hopeless(self, running: _Running) -> str:
        return self._plan.fidelity.judge(running.curve, running.order, running.known)

    def ended(self, order: Order, outcome: Outcome, now_s: float) -> None:
        """Take how a training ended."""
        self._bounds.at(now_s)
        running = self._running.pop(order.key)
        spent = order.design.training_flops(outcome.images)
        self._bounds.ended(outcome, spent_flops=spent, trial=True)
        self._end(running.trial, order, outcome, running.curve)

    def left_open(self, order: Order, now_s: float) -> None:
        """Take note that a training stays to be done: another process will."""
        self._running.pop(order.key)

    def _end(
        self, number: int, order: Order, outcome: Outcome, curve: dict[int, float] | None = None
    ) -> None:
        trial = self._trials[number]
        finite = {e: value for e, value in (curve or {}).items() if math.isfinite(value)}
        ended = Training(order=order, reports=finite, outcome=outcome)
        self._trials[number] = replace(
            trial,
            trainings=tuple(
                ended if training.order.key == order.key else training
                for training in trial.trainings
            ),
        )

    # --- what is known ------------------------------------------------------------------------------

    def _known(self, decision: int) -> Known:
        """Return what may be known to a decision: its trials are the same whenever they are read."""
        return Known.later(
            lambda: self._known_at_once(decision, self._plan.window).trials,
            decision=decision,
            seed=self._plan.choices.seed,
        )

    def _known_at_once(self, decision: int, window: int) -> Known:
        count = self._counts[decision - 1] if decision else 0
        since = self._decisions[max(0, decision - window + 1) :] if window else ()
        return Known.of(
            self._trials[:count],
            decision=decision,
            window=window,
            seed=self._plan.choices.seed,
            recent={number for number in since if number < count},
        )

    def _note(self, number: int) -> None:
        """Take note that a decision has been made, about that trial."""
        self._decisions.append(number)
        self._counts.append(max(number + 1, self._counts[-1] if self._counts else 0))

    def _decisions_of(self, order: Order) -> int:
        assert order.decision is not None
        return self._decisions[order.decision]

    def _tell(self) -> None:
        """Count the decisions, in order, whose trainings have ended."""
        while self._told < len(self._decisions) and self._is_told(self._told):
            self._told += 1

    def _is_told(self, decision: int) -> bool:
        trainings = self._trials[self._decisions[decision]].trainings
        return all(t.outcome is not None for t in trainings if t.order.decision == decision)


def _decisions(trials: Sequence[Trial]) -> list[int]:
    """Return the trial that each decision was about, by the decision's number."""
    made = {
        training.order.decision: trial.number for trial in trials for training in trial.trainings
    }
    return [made[decision] for decision in range(len(made))]


def _unfinished(trials: Sequence[Trial]) -> list[tuple[int, Order]]:
    """Return the trainings that have not ended, in the order they were decided on."""
    found = [
        (trial.number, training.order)
        for trial in trials
        for training in trial.trainings
        if training.outcome is None
    ]
    return sorted(found, key=lambda entry: entry[1].decision or 0)


def _slower(design: Design) -> str:
    """Return, in one line, by how much a network had to shrink to be quick enough."""
    fit = design.latency_fit
    assert fit is not None
    (flops, ms), *_ = fit.measured
    return (
        f"{design.name}: {format_ms(fit.ms or 0.0)} ms a call at {format_count(design.flops)} FLOPs; "
        f"{format_ms(ms)} ms at {format_count(flops)} were too slow"
    )


def _too_slow(trial: Trial) -> bool:
    return trial.design.latency_fit is not None and not trial.design.exists
