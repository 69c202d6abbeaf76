"""The search: asks for knobs, has the networks trained, prunes, and tells what came of them.

Trial n is asked for once trials up to n − window have been told, and results are told in the
order of their numbers, whichever worker is first. So a study's table depends on its seed and
settings, not on timing; and a study that was cut off goes on as if nothing had happened. Trials
of one study are equally long, so little waits.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from random import Random
from typing import Any, Final

from archsearch.errors import ArchsearchError, UserError
from archsearch.ir.codec import content_hash, to_json
from archsearch.ir.graph import Graph
from archsearch.readings.cost import Cost
from archsearch.runtime.job import EpochReport, Outcome
from archsearch.space.knobs import Knob, Knobs, KnobValue
from archsearch.space.solve import Candidate
from archsearch.study.engines.base import Engine
from archsearch.study.folder import StudyFolder
from archsearch.study.journal import Entry, Journal
from archsearch.study.limits import Limits
from archsearch.study.result import Origin
from archsearch.study.sampler import TPE_ATTEMPTS, View, derive_seed
from archsearch.study.storage import StudyStore, Trial

POLL_S: Final = 0.25
RANDOM_ATTEMPTS: Final = 32
LISTED_COMBINATIONS: Final = 20_000
"""A space of no more combinations is gone through before the search gives up on finding a new one."""


class Interrupted(ArchsearchError):  # noqa: N818  nothing is wrong: the user asked for it
    """The user stopped the run; all is saved."""

    status = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a search needs to know.

    Attributes:
        knobs: what the sampler chooses.
        solve: from knobs to the candidate that fills the budget.
        length: images and epochs of a trial, from a network's FLOPs.
        classic: knobs of the matched baseline, the first trial; None: no such trial.
        trials: how many trials, the baseline among them.
        window: trials under way at the same time.
        stopped: asked between events; true once the user wants to stop.
    """

    knobs: tuple[Knob, ...]
    solve: Callable[[Knobs], Candidate]
    length: Callable[[int], tuple[int, int]]
    classic: Knobs | None
    trials: int
    window: int
    seed: int
    prune: bool = True
    stopped: Callable[[], bool] = field(default=lambda: False)

    @property
    def startup(self) -> int:
        """Trials chosen by chance before the model of what is good proposes."""
        return max(4, min(10, self.trials // 3))

    @property
    def combinations(self) -> int:
        """How many combinations of knob values there are."""
        return math.prod(len(knob.values()) for knob in self.knobs)


@dataclass(slots=True)
class _Running:
    """A trial that is being trained."""

    entry: Entry
    view: View
    reports: dict[int, float] = field(default_factory=dict)
    pruned_at: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class _Proposal:
    """Knobs for a trial; `fault` where no network could be made of them."""

    knobs: Knobs
    facts: Mapping[str, Any]
    fault: str = ""


class Search:
    """Runs the trials of one study, or those that are left of it."""

    def __init__(
        self,
        plan: Plan,
        *,
        store: StudyStore,
        folder: StudyFolder,
        engine: Engine,
        journal: Journal,
        limits: Limits | None = None,
    ) -> None:
        self._plan = plan
        self._limits = limits or Limits()
        self._store = store
        self._folder = folder
        self._engine = engine
        self._journal = journal
        self._running: dict[str, _Running] = {}
        self._told = 0
        self._exhausted = False

    def run(self) -> None:
        """Run until all trials are told.

        Raises:
            Interrupted: the plan's `stopped` said so; every worker has finished its epoch.
            KeyboardInterrupt: at once; checkpoints are what is left of trials under way.
        """
        try:
            self._take_up()
            while self._go_on():
                for event in self._engine.events(POLL_S):
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
        return bool(self._running)

    # --- asking -----------------------------------------------------------------------------------

    def _ask_next(self) -> bool:
        number = len(self._store)
        ready = self._told > number - self._plan.window
        if number >= self._plan.trials or not ready or self._exhausted:
            return False
        if not self._limits.admits_trial():
            if not self._running:  # one that is pruned may yet leave room for another
                self._end_early(
                    f"the search ends after {number} trials: no other fits into "
                    f"{self._limits.text} with the finals"
                )
            return False
        view = self._view(number)
        proposal = self._propose(view)
        if proposal is None:
            self._end_early(
                f"the search ends after {number} of {self._plan.trials} trials: "
                "every network the space has for this budget has been trained"
            )
            return False
        trial = self._store.add(proposal.knobs, self._plan.knobs, proposal.facts)
        if proposal.fault:
            self._keep(
                trial.number, Outcome(key=_key(number), status="failed", reason=proposal.fault)
            )
        else:
            self._start(trial, view)
        return True

    def _end_early(self, why: str) -> None:
        self._exhausted = True
        self._store.set_attribute("ended", why)
        self._journal.notice(why)

    def _propose(self, view: View) -> _Proposal | None:
        """Choose a network that has not been trained in this study; None if there is no other."""
        known = {trial.notes.get("graph"): trial.number for trial in self._store.trials}
        tried = {_combination(trial.knobs) for trial in self._store.trials}
        if view.number == 0 and self._plan.classic is not None:
            return self._make(self._plan.classic, 0, origin="matched")
        for seen, knobs in enumerate(self._choices(view)):
            # Different knobs may give the same network, the same knobs always do.
            if _combination(knobs) not in tried:
                tried.add(_combination(knobs))
                made = self._make(knobs, view.number, origin="search", skipped=seen)
                if made.facts.get("graph") not in known:
                    return made
        return None

    def _choices(self, view: View) -> Iterator[Knobs]:
        """Yield knobs: the model's proposals, then draws by chance, then all there are."""
        for attempt in range(TPE_ATTEMPTS + RANDOM_ATTEMPTS):
            yield view.propose(attempt)
        if self._plan.combinations <= LISTED_COMBINATIONS:
            names = [knob.name for knob in self._plan.knobs]
            every = list(product(*(knob.values() for knob in self._plan.knobs)))
            Random(derive_seed(self._plan.seed, "left", view.number)).shuffle(every)
            yield from (dict(zip(names, values, strict=True)) for values in every)

    def _make(self, knobs: Knobs, number: int, *, origin: Origin, skipped: int = 0) -> _Proposal:
        facts: dict[str, Any] = {
            "name": _key(number),
            "role": "baseline" if origin == "matched" else "candidate",
            "origin": origin,
            # Proposals passed over as their network had been trained already.
            "duplicates_skipped": skipped,
        }
        try:
            candidate = self._plan.solve(knobs)
        except UserError as error:
            nothing = {"label": "no network", "graph": f"none-{number}", "flops": 0, "params": 0}
            return _Proposal(
                knobs, facts | nothing | {"activation_bytes": 0, "fill": 0.0}, fault=str(error)
            )
        images, epochs = self._plan.length(candidate.cost.flops)
        facts |= facts_of(
            candidate.graph,
            candidate.cost,
            fill=candidate.fill,
            label=f"{candidate.space} {candidate.label}",
            folder=self._folder,
        )
        facts |= {
            "images": images,
            "planned_epochs": epochs,
            "seed": derive_seed(self._plan.seed, "trial"),
            "base_width": candidate.base_width,
            "multiple": candidate.multiple,
            "widths": dict(candidate.widths),
            "space_notes": plain_json(candidate.notes),
        }
        return _Proposal(dict(knobs), facts)

    def _view(self, number: int) -> View:
        return View(
            self._store.trials,
            number=number,
            window=self._plan.window,
            knobs=self._plan.knobs,
            seed=self._plan.seed,
            startup=self._plan.startup,
        )

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
        if report.epoch in running.reports:  # its worker died, and another one went on
            return
        running.reports[report.epoch] = report.val_accuracy
        number = running.view.number
        if math.isfinite(report.val_accuracy):
            self._store.report(number, report.epoch, report.val_accuracy)
        self._journal.epoch(report)
        self._limits.reported(report)
        if self._hopeless(running, report.epoch):
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
                val_accuracy=running.reports[running.pruned_at],
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
                self._start(trial, self._view(trial.number))

    def _abandon(self) -> None:
        """Give up what runs although the time is up: its epoch is longer than was to be expected."""
        for key in list(self._running):
            reason = f"cut short by {self._limits.text} within an epoch"
            self._end(Outcome(key=key, status="failed", reason=reason))
        self._exhausted = True

    def _halt(self) -> None:
        """Have all workers finish their epoch, and leave what is under way for `resume`."""
        halt(self._engine, list(self._running), self._report, self._finish_halted)
        for running in self._running.values():
            self._journal.end(running.entry, None)
        self._leave_open()
        raise Interrupted(f"interrupted; `archsearch resume {self._store.name}` goes on from here")

    def _leave_open(self) -> None:
        for trial in self._store.trials:
            if not trial.finished:  # also those that have ended, but after one that has not
                self._store.move(trial.number, "waiting")

    def _finish_halted(self, outcome: Outcome) -> None:
        """Take an outcome that came while stopping; one that was cut short stays open."""
        running = self._running.get(outcome.key)
        if running is not None and (outcome.status == "complete" or running.pruned_at is not None):
            self._end(outcome)


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


def facts_of(
    graph: Graph, cost: Cost, *, fill: float, label: str, folder: StudyFolder
) -> dict[str, Any]:
    """Return what the storage keeps of a network; the Graph itself goes into the study's folder."""
    identity = content_hash(graph)
    folder.write_graph(identity, to_json(graph))
    return {
        "label": " ".join(label.split()),
        "graph": identity,
        "flops": cost.flops,
        "params": cost.params,
        "activation_bytes": cost.activation_bytes,
        "fill": fill,
    }


def trial_entry(trial: Trial) -> Entry:
    """Return a trial's job in the search, from what the storage keeps of it."""
    return Entry(
        key=_key(trial.number),
        stage="search",
        facts=trial.notes,
        knobs=trial.knobs,
        images=trial.notes.get("images", 0),
        epochs=trial.notes.get("planned_epochs", 0),
        seed=trial.notes.get("seed", 0),
    )


def plain_json(value: Mapping[str, object]) -> Any:
    """Return a space's own notes as JSON values; what JSON lacks becomes text."""
    return json.loads(json.dumps(value, default=str))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _key(number: int) -> str:
    return f"trial-{number:04d}"


def _combination(knobs: Knobs) -> tuple[tuple[str, str, KnobValue], ...]:
    # True == 1 in Python; a knob's values are told apart by type, too.
    return tuple(sorted((name, type(value).__name__, value) for name, value in knobs.items()))
