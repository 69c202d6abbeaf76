"""What came of a study, as data: the leaderboard's rows and the winner, read from its storage."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from archsearch.archive.store import StudyStore, Trial
from archsearch.units import format_ms, parse_latency

Origin = Literal["search", "matched", "published"]
"""Proposed by the sampler; the space's classic scaled to the budget; a network as published."""

FINAL: str = "final:"
"""Study attributes of this beginning hold the outcome of a finalist's training, by key."""


LATENCY: str = "latency:"
"""Study attributes of this beginning hold the latency of a finalist's network, by its name."""

SPARE_LATENCY: float = 1.1
"""A finalist may be this much slower than the bound: two measurements differ by as much."""

FULL: str = "full"
"""Study attribute: the search ended as no other trial fitted into the bounds of the run."""
MORE_TIME: str = "more_time"
"""Study attribute: the bound that it was given later, and the time it had taken until then."""
LEFT: str = "finals_left"
"""Study attribute: why finals are left to do; empty where none is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """An accuracy over several trainings of one network: mean, sample sd (None for n = 1), n."""

    mean: float
    sd: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Score | None":
        """Summarise values; None where there are none."""
        if not values:
            return None
        sd = statistics.stdev(values) if len(values) > 1 else None
        return cls(mean=statistics.fmean(values), sd=sd, n=len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network of a study.

    Attributes:
        rank: place on the leaderboard, from 1: finalists by mean validation accuracy over their
            seeds, then the others by their trial's; None without any accuracy.
        name: `trial-0007`, or a published network's name.
        label: the design in a few words.
        fill: FLOPs as a share of the budget; above 1 for some published networks.
        epochs: epochs of the trial that were counted; of one that has not ended, the last one after which
            the validation images were evaluated.
        val_accuracy: of the trial in the search (published networks have none).
        final_val: validation accuracy of the retrainings.
        test: test accuracy of the retrainings: never used to choose anything.
        latency_ms: median of a call of one image, exported, measured when nothing else ran
            (finalists only); a tenth of the calls took less than `latency_p10_ms`, a tenth more
            than `latency_p90_ms`.
        bound_by: under a bound on latency, which of the bounds its size follows from: `flops` or
            `latency`.
        status: `waiting`, `running`, `complete`, `pruned` or `failed`.
        too_slow: it took more than the bound on latency when it was measured after the finals;
            it does not win while another one is within.
        graph: content hash of the network.
        seed: that the weights kept for export were trained with (the winner only).
    """

    rank: int | None = None
    name: str
    label: str
    role: Literal["candidate", "baseline"]
    origin: Origin
    knobs: Mapping[str, Any] = field(default_factory=dict)
    flops: int
    fill: float
    params: int
    activation_bytes: int
    epochs: int = 0
    val_accuracy: float | None = None
    final_val: Score | None = None
    test: Score | None = None
    latency_ms: float | None = None
    latency_p10_ms: float | None = None
    latency_p90_ms: float | None = None
    bound_by: str = ""
    status: str
    reason: str = ""
    winner: bool = False
    too_slow: bool = False
    graph: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """A study as it stands.

    Attributes:
        status: `running` (or cut off: ask the lock), `interrupted`, `complete` or `failed`.
        rows: the leaderboard, best first.
        best_key: key of the winner's training whose weights are kept for export.
        exports: folder or file by format.
        trials: how many trials were asked for.
        ended: why it ended before that many, or before all finals; empty where it did not.
    """

    study: str
    status: str
    space: str
    budget: str
    settings: Mapping[str, Any]
    dataset: Mapping[str, Any]
    rows: tuple[Row, ...]
    best_key: str | None = None
    exports: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    trials: int = 0
    train_s: float = 0.0
    wall_s: float = 0.0
    created: str = ""
    ended: str = ""

    @property
    def winner(self) -> Row | None:
        """The finalist with the best mean validation accuracy; None before the finals."""
        return next((row for row in self.rows if row.winner), None)

    @property
    def training_share(self) -> float:
        """Training steps' part of the time the workers had, from the run's start to its end."""
        had_s = self.wall_s * int(self.settings.get("workers") or 1)
        return min(1.0, self.train_s / had_s) if had_s > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**asdict(self), "training_share": self.training_share}


def read_result(store: StudyStore) -> StudyResult:
    """Put a study's result together from what its storage holds."""
    facts = store.attributes
    finals = final_outcomes(store)
    rows = [_trial_row(trial, finals) for trial in store.trials]
    rows += [_published_row(name, row, finals) for name, row in published(store).items()]
    rows = _with_latency(rows, latencies(store), facts["settings"].get("max_latency"))
    best = _winner(rows)
    ordered = sorted(rows, key=_order)
    ranked = []
    for place, row in enumerate(ordered, start=1):
        scored = row.final_val is not None or row.val_accuracy is not None
        ranked.append(_with(row, rank=place if scored else None, winner=row.name == best))
    outcomes = [t.notes["outcome"] for t in store.trials if "outcome" in t.notes]
    outcomes += finals.values()
    return StudyResult(
        study=store.name,
        status=facts.get("status", "running"),
        space=facts["settings"]["space"],
        budget=facts["settings"]["flops"],
        settings=facts["settings"],
        dataset=facts["dataset"],
        rows=tuple(ranked),
        best_key=None if best is None else best_final_key(best, finals),
        exports=facts.get("exports", {}),
        notes=tuple(facts.get("notes", ())),
        trials=facts["settings"]["trials"],
        train_s=sum(outcome.get("train_s", 0.0) for outcome in outcomes),
        wall_s=facts.get("wall_s", 0.0),
        created=facts.get("created", ""),
        ended="; ".join(filter(None, (facts.get("ended"), facts.get(LEFT)))),
    )


def why_no_winner(result: StudyResult) -> str:
    """Say why a study that is over has no winner."""
    reasons = [row.reason for row in result.rows if row.reason]
    last = f"; the last said: {reasons[-1]}" if reasons else ""
    ended = f"; {result.ended}" if result.ended else ""
    what = "finalist" if any(row.status == "complete" for row in result.rows) else "network"
    return f"no {what} trained to its end{last}{ended}"


def final_outcomes(store: StudyStore) -> dict[str, Mapping[str, Any]]:
    """Return the outcomes of finalists' trainings by key."""
    found = {k: v for k, v in store.attributes.items() if k.startswith(FINAL)}
    return {key.removeprefix(FINAL): found[key] for key in sorted(found)}


def latencies(store: StudyStore) -> dict[str, Mapping[str, Any]]:
    """Return what came of measuring the finalists, by name: a latency's values, or `failed`."""
    found = {k: v for k, v in store.attributes.items() if k.startswith(LATENCY)}
    return {key.removeprefix(LATENCY): found[key] for key in sorted(found)}


def published(store: StudyStore) -> Mapping[str, Mapping[str, Any]]:
    """Return the facts of the published baselines a study trains, by name."""
    found: Mapping[str, Mapping[str, Any]] = store.attributes.get("published", {})
    return found


def final_key(name: str, seed: int) -> str:
    """Name a finalist's training: `trial-0007`, seed 1 → `final-0007-seed1`."""
    return f"final-{name.removeprefix('trial-')}-seed{seed}"


def best_final_key(name: str, finals: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the key of a network's training with the best validation accuracy."""
    mine = _finals_of(name, finals)
    return max(mine, key=lambda key: (mine[key]["val_accuracy"], -list(mine).index(key)))


def best_of(rows: Sequence[Row]) -> Row | None:
    """Return the first network of a leaderboard that may win: within the budget, with an accuracy."""
    able = (row for row in rows if row.origin != "published" and row.rank is not None)
    return next(able, None)


def _finals_of(name: str, finals: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    stem = final_key(name, 0)[:-1]
    return {
        key: outcome
        for key, outcome in finals.items()
        if key.rstrip("0123456789") == stem and outcome["status"] == "complete"
    }


def _trial_row(trial: Trial, finals: Mapping[str, Mapping[str, Any]]) -> Row:
    facts = trial.notes
    outcome = facts.get("outcome", {})
    return _row(
        facts,
        finals,
        knobs=trial.knobs,
        epochs=outcome.get("epochs", max(trial.reports, default=0)),
        val_accuracy=outcome.get("val_accuracy"),
        status=outcome.get("status", trial.state),
        reason=outcome.get("reason", ""),
    )


def _published_row(
    name: str, facts: Mapping[str, Any], finals: Mapping[str, Mapping[str, Any]]
) -> Row:
    mine = [outcome for key, outcome in finals.items() if key.startswith(final_key(name, 0)[:-1])]
    complete = [outcome for outcome in mine if outcome["status"] == "complete"]
    status = "complete" if complete else "failed" if mine else "waiting"
    return _row(
        facts,
        finals,
        epochs=max((outcome["epochs"] for outcome in mine), default=0),
        status=status,
        reason=mine[0]["reason"] if mine and not complete else "",
    )


def _row(facts: Mapping[str, Any], finals: Mapping[str, Mapping[str, Any]], **known: Any) -> Row:
    mine = _finals_of(facts["name"], finals).values()
    return Row(
        name=facts["name"],
        label=facts["label"],
        role=facts["role"],
        origin=facts["origin"],
        flops=facts["flops"],
        fill=facts["fill"],
        params=facts["params"],
        activation_bytes=facts["activation_bytes"],
        graph=facts["graph"],
        bound_by=facts.get("latency_fit", {}).get("bound_by", ""),
        final_val=Score.of([o["val_accuracy"] for o in mine]),
        test=Score.of([o["test_accuracy"] for o in mine if o["test_accuracy"] is not None]),
        **known,
    )


def _with_latency(
    rows: Sequence[Row], found: Mapping[str, Mapping[str, Any]], bound: str | None
) -> list[Row]:
    """Return the rows with their latencies; those that are slower than the bound say so."""
    done = []
    for row in rows:
        known = found.get(row.name, {})
        if "median_ms" not in known:
            done.append(row)
            continue
        ms = known["median_ms"]
        slow = bound is not None and ms > SPARE_LATENCY * parse_latency(bound)
        why = (
            f"too slow: {format_ms(ms)} ms a call, --max-latency is {bound}" if slow else row.reason
        )
        done.append(
            _with(
                row,
                latency_ms=ms,
                latency_p10_ms=known["p10_ms"],
                latency_p90_ms=known["p90_ms"],
                too_slow=slow,
                reason=why,
            )
        )
    return done


def _winner(rows: Sequence[Row]) -> str | None:
    """Choose by validation alone, among those that are quick enough, if any is.

    A published network may cost more than the budget: it can't win.
    """
    able = [row for row in rows if row.origin != "published" and row.final_val is not None]
    if not able:
        return None
    able = [row for row in able if not row.too_slow] or able
    return min(able, key=lambda row: (-(row.final_val.mean if row.final_val else 0), row.name)).name


def _order(row: Row) -> tuple[int, float, int, str]:
    """Finalists first: one lucky trial must not stand above a mean over seeds."""
    if row.final_val is not None:
        return (0, -row.final_val.mean, 0, row.name)
    group = {"complete": 1, "pruned": 2}.get(row.status, 3)
    accuracy = row.val_accuracy if row.val_accuracy is not None else -math.inf
    return (group, -accuracy, -row.epochs, row.name)


def _with(row: Row, **changes: Any) -> Row:
    from dataclasses import replace

    return replace(row, **changes)
