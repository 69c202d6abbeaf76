"""What a search tries next: knobs nobody has tried in this study, and the network made of them."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any, Final

from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import Origin
from archsearch.archive.store import StudyStore, Trial
from archsearch.errors import UserError
from archsearch.ir.codec import content_hash, to_json
from archsearch.ir.graph import Graph
from archsearch.readings.cost import Cost
from archsearch.space.knobs import Knob, Knobs, KnobValue
from archsearch.space.solve import Candidate
from archsearch.strategy.latency_fit import Fitting, LatencyBound
from archsearch.strategy.sampler import TPE_ATTEMPTS, View, derive_seed
from archsearch.study.journal import Entry

RANDOM_ATTEMPTS: Final = 32
LISTED_COMBINATIONS: Final = 20_000
"""A space of no more combinations is gone through before the search gives up on finding a new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a search needs to know.

    Attributes:
        knobs: what the sampler chooses.
        solve: from knobs to the candidate that fills the budget.
        length: images and epochs of a trial, from a network's FLOPs.
        classic: knobs of the matched baseline, the first trial; None: no such trial.
        trials: how many trials, the baseline among them.
        window: how many trials, its own included, one does not know the results of (see `window_of`).
        stopped: asked between events; true once the user wants to stop.
        latency: what a call of any network may take; None: anything.
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
    latency: LatencyBound | None = None

    @property
    def startup(self) -> int:
        """Trials chosen by chance before the model of what is good proposes."""
        return max(4, min(10, self.trials // 3))

    @property
    def combinations(self) -> int:
        """How many combinations of knob values there are."""
        return math.prod(len(knob.values()) for knob in self.knobs)


def window_of(workers: int) -> int:
    """Return the window of a search with so many workers: half as many trials more.

    Trials differ in length, though they have the same FLOPs. Without any to spare, two workers waited
    for one another a tenth of the time; every one to spare is a result less to go by.
    """
    return workers + workers // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Knobs for a trial, and the network that fills the budget with them.

    Attributes:
        candidate: None where no network could be made of them: `fault` says why.
        skipped: proposals passed over as their network had been trained already.
    """

    number: int
    knobs: Knobs
    origin: Origin
    candidate: Candidate | None
    skipped: int = 0
    fault: str = ""

    @property
    def graph(self) -> str:
        """The content hash of the network at the full budget."""
        return (
            f"none-{self.number}" if self.candidate is None else content_hash(self.candidate.graph)
        )


class Proposer:
    """Makes proposals for one study, and says what its storage keeps of them."""

    def __init__(self, plan: Plan, store: StudyStore, folder: StudyFolder) -> None:
        self._plan = plan
        self._store = store
        self._folder = folder

    def view(self, number: int) -> View:
        """Return what may be known when that trial is decided on."""
        return View(
            self._store.trials,
            number=number,
            window=self._plan.window,
            knobs=self._plan.knobs,
            seed=self._plan.seed,
            startup=self._plan.startup,
        )

    def propose(self, view: View) -> Proposal | None:
        """Choose a network that has not been trained in this study; None if there is no other."""
        if view.number == 0 and self._plan.classic is not None:
            return self._make(self._plan.classic, 0, origin="matched")
        known = {
            trial.notes.get("budget_graph", trial.notes.get("graph"))
            for trial in self._store.trials
        }
        tried = {_combination(trial.knobs) for trial in self._store.trials}
        for seen, knobs in enumerate(self._choices(view)):
            # Different knobs may give the same network, the same knobs always do.
            if _combination(knobs) not in tried:
                tried.add(_combination(knobs))
                made = self._make(knobs, view.number, origin="search", skipped=seen)
                if made.graph not in known:
                    return made
        return None

    def facts(self, proposal: Proposal, fitting: Fitting | None = None) -> dict[str, Any]:
        """Return what the storage keeps of a trial before it begins.

        Args:
            proposal: its knobs and network.
            fitting: that has ended, where there is a bound on latency: its network takes the place
                of the proposal's.
        """
        facts: dict[str, Any] = {
            "name": trial_key(proposal.number),
            "role": "baseline" if proposal.origin == "matched" else "candidate",
            "origin": proposal.origin,
            "duplicates_skipped": proposal.skipped,
        }
        full = proposal.candidate
        candidate = full
        if fitting is not None:
            facts |= {"latency_fit": fitting.facts, "budget_graph": proposal.graph}
            candidate = None if fitting.fault else fitting.candidate
        if full is None or candidate is None:
            label = "no network" if full is None else f"{full.space} {full.label}"
            nothing = {"label": label, "graph": f"none-{proposal.number}", "flops": 0, "params": 0}
            return facts | nothing | {"activation_bytes": 0, "fill": 0.0}
        images, epochs = self._plan.length(candidate.cost.flops)
        bound = " latency-bound" if fitting is not None and fitting.bound else ""
        facts |= facts_of(
            candidate.graph,
            candidate.cost,
            fill=full.fill * candidate.cost.flops / full.cost.flops,
            label=f"{candidate.space} {candidate.label}{bound}",
            folder=self._folder,
        )
        return facts | {
            "images": images,
            "planned_epochs": epochs,
            "seed": derive_seed(self._plan.seed, "trial"),
            "base_width": candidate.base_width,
            "multiple": candidate.multiple,
            "widths": dict(candidate.widths),
            "space_notes": plain_json(candidate.notes),
        }

    def _choices(self, view: View) -> Iterator[Knobs]:
        """Yield knobs: the model's proposals, then draws by chance, then all there are."""
        for attempt in range(TPE_ATTEMPTS + RANDOM_ATTEMPTS):
            yield view.propose(attempt)
        if self._plan.combinations <= LISTED_COMBINATIONS:
            names = [knob.name for knob in self._plan.knobs]
            every = list(product(*(knob.values() for knob in self._plan.knobs)))
            Random(derive_seed(self._plan.seed, "left", view.number)).shuffle(every)
            yield from (dict(zip(names, values, strict=True)) for values in every)

    def _make(self, knobs: Knobs, number: int, *, origin: Origin, skipped: int = 0) -> Proposal:
        candidate, fault = None, ""
        try:
            candidate = self._plan.solve(knobs)
        except UserError as error:
            fault = str(error)
        return Proposal(
            number=number,
            knobs=dict(knobs),
            origin=origin,
            candidate=candidate,
            skipped=skipped,
            fault=fault,
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
        key=trial_key(trial.number),
        stage="search",
        facts=trial.notes,
        knobs=trial.knobs,
        images=trial.notes.get("images", 0),
        epochs=trial.notes.get("planned_epochs", 0),
        seed=trial.notes.get("seed", 0),
    )


def trial_key(number: int) -> str:
    """Name a trial: `trial-0007`."""
    return f"trial-{number:04d}"


def plain_json(value: Mapping[str, object]) -> Any:
    """Return a space's own notes as JSON values; what JSON lacks becomes text."""
    return json.loads(json.dumps(value, default=str))


def _combination(knobs: Knobs) -> tuple[tuple[str, str, KnobValue], ...]:
    # True == 1 in Python; a knob's values are told apart by type, too.
    return tuple(sorted((name, type(value).__name__, value) for name, value in knobs.items()))
