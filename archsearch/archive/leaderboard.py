"""What came of a study, as data: the leaderboard's rows and the winner, read from its storage."""

import math
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from archsearch.archive.codec import kept_settings
from archsearch.archive.design import Departure, Design, Origin, Role
from archsearch.archive.facts import DatasetFacts, FullTraining
from archsearch.archive.judging import Judge, by_network, judge_of
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Spending, Spent, Trial
from archsearch.archive.plain import plain
from archsearch.archive.store import StudyStore
from archsearch.errors import UserError
from archsearch.exchange.latency import Latency
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings
from archsearch.statistics.pareto import Point, SliceResult, chosen_one, with_front
from archsearch.statistics.score import Score
from archsearch.statistics.verdict import Verdict
from archsearch.training.job import Outcome
from archsearch.units import budget_text, counted, format_ms, parse_latency

SPARE_LATENCY: Final = 1.1
"""Times the bound on latency that a finalist may take and still win: two measurements differ by as much."""

Finals = Mapping[JobKey, Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One network of a study.

    Attributes:
        rank: place on the leaderboard, from 1: finalists by what is expected of them, then the others by
            their trial's validation accuracy; None without any accuracy, or where it stalled.
        name: `trial-0007`, or a published network's name.
        label: the design in a few words.
        fill: FLOPs as a share of the budget; above 1 for some published networks.
        epochs: epochs of the trial's longest training that were counted; of one that has not ended, the
            last one after which the validation images were evaluated.
        val_accuracy: of that training (published networks have none).
        rung: the step of the ladder of lengths it stands on; 0 where trainings have one length.
        trainings: of the network in all, those of the finals too.
        train_flops: that went into those that have ended (see `Spending`).
        final_val: validation accuracy of the retrainings.
        expected: posterior mean of its true validation accuracy, from all its trainings of the full length
            and those of the others; of a published network the mean of its retrainings.
        test: test accuracy of the retrainings: never used to choose anything.
        latency_ms: median of a call of one image, exported, measured when nothing else ran
            (finalists only); a tenth of the calls took less than `latency_p10_ms`, a tenth more
            than `latency_p90_ms`.
        bound_by: under a bound on latency, which of the bounds its size follows from: `flops` or
            `latency`.
        status: `waiting`, `running`, `complete`, `pruned` or `failed`.
        too_slow: it took more than the bound on latency when it was measured after the finals;
            it does not win while another one is within.
        findings: departures from the rules its space holds; None: an earlier version did not look.
        obeys: rules that the study has freed and that it follows all the same.
        lost: retrainings that failed, or stalled where others of the network learnt; `lost_why` is what the
            last of them said.
        stalled: whether it has learnt nothing, also where it was tried again at a lower rate; its accuracies
            are those of guessing.
        stalls: its trainings that stalled, of both tries in both.
        retried: its trainings that stalled at first and learnt at a share of the learning rate.
        rate_share: that share, if the trainings that count needed it.
        microbatches: in how many parts its batches were taken, at most.
        graph: content hash of the network.
        budget: FLOPs of its slice, where the study has several budgets; None: it has one.
        front: whether it is the best of its slice, and no network of a smaller one is as accurate.
    """

    rank: int | None = None
    name: str
    label: str
    role: Role
    origin: Origin
    knobs: Mapping[str, Any] = field(default_factory=dict)
    flops: int
    fill: float
    params: int
    activation_bytes: int
    epochs: int = 0
    val_accuracy: float | None = None
    rung: int = 0
    trainings: int = 0
    train_flops: int = 0
    final_val: Score | None = None
    expected: float | None = None
    test: Score | None = None
    latency_ms: float | None = None
    latency_p10_ms: float | None = None
    latency_p90_ms: float | None = None
    bound_by: str = ""
    status: str
    reason: str = ""
    winner: bool = False
    too_slow: bool = False
    findings: tuple[Departure, ...] | None = None
    obeys: tuple[str, ...] = ()
    lost: int = 0
    lost_why: str = ""
    stalled: bool = False
    stalls: int = 0
    retried: int = 0
    rate_share: float = 1.0
    microbatches: int = 1
    budget: int | None = None
    front: bool = False
    graph: str

    @property
    def retrained(self) -> bool:
        """Whether a retraining came to its end."""
        return self.final_val is not None or self.test is not None

    @property
    def part(self) -> str:
        """What it is in its study: what won, what was retrained, what it is compared with."""
        if self.role == "baseline":
            place = ", winner" if self.winner else ", front" if self.front else ""
            return f"{self.origin}{place}"
        if self.winner:
            return "winner"
        if self.front:
            return "front"
        return "finalist" if self.retrained else "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """A study as it stands.

    Attributes:
        status: `running` (or cut off: ask the lock), `interrupted`, `complete` or `failed`.
        rows: the leaderboard, best first.
        verdict: what it shows of the winner; None: there is no winner yet, or nothing to compare it with.
        best_key: key of the winner's training whose weights are kept for export.
        best_val, best_test: that training's own accuracies; None: there are none.
        slices: what came of each of several budgets, the smallest first; empty: there is one.
        exports: folder or file by format.
        trials: how many trials were asked for.
        spending: training FLOPs that went into it, by what for.
        ended: why it ended before that many, or before all finals; empty where it did not.
        untold: whether the tracker may lack something of it.
        recipe: with which it trains, all of it; None: an earlier version did not keep it.
        training: of a full training, where its network is from; None: it is a search.
        learnt_from: how many networks of each earlier study it learnt from, by the study's name.
        durations_from: the same of those by which it knew, as it began, how long networks train.
        trained: the full training of its winner that `train_winner` asked for; None: it has not begun.
    """

    study: str
    status: str
    settings: RunSettings
    dataset: DatasetFacts
    rows: tuple[Row, ...]
    verdict: Verdict | None = None
    best_key: str | None = None
    best_val: float | None = None
    best_test: float | None = None
    slices: tuple[SliceResult, ...] = ()
    exports: Mapping[str, str] = field(default_factory=dict)
    trials: int = 0
    train_s: float = 0.0
    spending: Spending = field(default_factory=Spending)
    wall_s: float = 0.0
    created: str = ""
    ended: str = ""
    untold: bool = False
    recipe: Recipe | None = None
    training: FullTraining | None = None
    learnt_from: Mapping[str, int] = field(default_factory=dict)
    durations_from: Mapping[str, int] = field(default_factory=dict)
    trained: "StudyResult | None" = None

    @property
    def space(self) -> str:
        """The design space that was searched; empty for a full training."""
        return self.settings.space or ""

    @property
    def budget(self) -> str:
        """The budget as it was written; empty for a full training of a network that had none."""
        return self.settings.flops or ""

    @property
    def winner(self) -> Row | None:
        """The finalist of which most is expected; None before the finals.

        Of several budgets it is that of the front's knee, or the most accurate one where there is no knee.
        Of a full training its network, once it has been trained.
        """
        return next((row for row in self.rows if row.winner), None)

    @property
    def kept_keys(self) -> tuple[str, ...]:
        """Keys of the trainings whose weights are kept: the winner's, or the best one's of each budget."""
        keys = [one.best_key for one in self.slices] if self.slices else [self.best_key]
        return tuple(key for key in keys if key is not None)

    @property
    def lost(self) -> tuple[str, ...]:
        """What became of finalists that did not all train to their ends, a line each."""
        return tuple(
            f"{row.label}: {counted(row.lost, 'retraining')} of "
            f"{row.lost + (row.final_val.n if row.final_val else 0)} failed ({row.lost_why})"
            for row in self.rows
            if row.lost
        )

    @property
    def stalls(self) -> int:
        """Trainings that stalled, of both tries in both."""
        return sum(row.stalls for row in self.rows)

    @property
    def retried(self) -> int:
        """Trainings that stalled at first and learnt at a share of the learning rate."""
        return sum(row.retried for row in self.rows)

    @property
    def training_share(self) -> float:
        """Training steps' part of the time the workers had, from the run's start to its end."""
        had_s = self.wall_s * (self.settings.workers or 1)
        return min(1.0, self.train_s / had_s) if had_s > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            **plain(self),
            "space": self.space,
            "budget": self.budget,
            "settings": kept_settings(self.settings),
            "train_flops": self.spending.total,
            "training_share": self.training_share,
            "stalls": self.stalls,
            "retried": self.retried,
            "trained": None if self.trained is None else self.trained.to_dict(),
        }


def read_result(store: StudyStore) -> StudyResult:
    """Return a study's result, put together from what its storage holds."""
    facts, found = store.facts, store.once(_standing)
    return StudyResult(
        study=store.name,
        status=facts.status,
        settings=facts.settings,
        dataset=facts.dataset,
        rows=found.rows,
        verdict=found.verdict,
        slices=found.slices,
        best_key=None if found.best_key is None else str(found.best_key),
        best_val=None if found.kept is None else found.kept.val_accuracy,
        best_test=None if found.kept is None else found.kept.test_accuracy,
        exports=facts.exports,
        trials=facts.settings.trials,
        train_s=found.train_s,
        spending=replace(found.spending, measuring=facts.measured_flops),
        wall_s=facts.wall_s,
        created=facts.created,
        ended="; ".join(filter(None, (facts.ended, facts.left))),
        untold=facts.untold,
        recipe=facts.recipe,
        training=facts.training,
        learnt_from={} if facts.learnt is None else facts.learnt.studies,
        durations_from={} if facts.durations is None else facts.durations.studies,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """What follows from a study's trainings; of thousands it takes a second, and is asked for often.

    Attributes:
        kept: how the training of `best_key` ended, whose weights are kept.
    """

    rows: tuple[Row, ...]
    verdict: Verdict | None
    slices: tuple[SliceResult, ...]
    best_key: JobKey | None
    kept: Outcome | None
    train_s: float
    spending: Spending


def _standing(store: StudyStore) -> _Standing:
    facts, finals = store.facts, store.finals
    spent = tuple(_spent(store))
    rows = _with_latency(_rows(store, spent), store.latencies, facts.settings.max_latency)
    budgets = facts.settings.budgets()
    judges = {budget: judge_of(store, budget) for budget in budgets or (None,)}
    rows = [_with_expected(row, judges.get(row.budget)) for row in rows]
    slices = _slices(rows, judges, finals) if budgets else ()
    best = _best(rows, slices) if facts.training is None else _trained(rows)
    front = {one.best for one in slices if one.front}
    ranked = in_order([_placed(row, best, front) for row in rows])
    winner = next((row for row in ranked if row.winner), None)
    judge = None if winner is None else judges.get(winner.budget)
    best_key = None if best is None else best_final_key(best, finals)
    return _Standing(
        rows=tuple(ranked),
        verdict=None if best is None else _verdict(best, ranked, judge),
        slices=slices,
        best_key=best_key,
        kept=None if best_key is None else finals[best_key],
        train_s=sum(outcome.train_s for outcome in _outcomes(store)),
        spending=Spending.of(spent, measuring=0),
    )


def _rows(store: StudyStore, spent: Sequence[Spent]) -> list[Row]:
    """Return a study's networks, in no order, with what came of their trainings."""
    facts, finals = store.facts, by_network(store.finals)
    searched = {trial.design.name: trial for trial in store.trials}
    flops: Counter[str] = Counter()
    for training in spent:
        flops[training.key.name] += training.flops
    rows = [_trial_row(trial, finals[trial.design.name], flops) for trial in store.trials]
    rows += [_published_row(design, finals[design.name], flops) for design in facts.baselines]
    rows = [_with_lost(row, finals[row.name]) for row in rows]
    return [_with_stalls(row, searched.get(row.name), finals[row.name]) for row in rows]


def _placed(row: Row, best: str | None, front: Container[str | None]) -> Row:
    """Return a row that says whether it has won, and whether it is on the front."""
    if row.name != best and row.name not in front:
        return row
    return replace(row, winner=row.name == best, front=row.name in front)


def spent_flops(store: StudyStore) -> int:
    """Return the training FLOPs that went into a study, as a bound counts them."""
    return Spending.of(_spent(store), measuring=0).bounded


def why_no_winner(result: StudyResult) -> str:
    """Return why a study that is over has no winner, in one line."""
    reasons = [row.reason for row in result.rows if row.reason]
    reasons += [row.lost_why for row in result.rows if row.lost]
    last = f"; the last said: {reasons[-1]}" if reasons else ""
    ended = f"; {result.ended}" if result.ended else ""
    what = "finalist" if any(row.status == "complete" for row in result.rows) else "network"
    return f"no {what} trained to its end{last}{ended}"


def best_final_key(name: str, finals: Finals) -> JobKey:
    """Return the key of a network's training with the best validation accuracy; the first of equals.

    Where the validation images were trained on it is the first of all: the test images choose nothing.
    """
    mine = _complete(name, finals)
    return max(mine, key=lambda key: (mine[key].val_accuracy or 0.0, -list(mine).index(key)))


def best_of(rows: Sequence[Row]) -> Row | None:
    """Return the first network of a leaderboard that may win: within the budget, with an accuracy."""
    able = (row for row in rows if row.origin != "published" and row.rank is not None)
    return next(able, None)


def _spent(store: StudyStore) -> Iterator[Spent]:
    """Yield the trainings that have ended, with what went into each."""
    designs = {trial.design.name: trial.design for trial in store.trials}
    designs |= {design.name: design for design in store.facts.baselines}
    for trial in store.trials:
        for training in trial.trainings:
            yield Spent(training.order.key, trial.design, training.spent_flops)
    for key, outcome in store.finals.items():
        design = designs[key.name]
        yield Spent(key, design, design.training_flops(outcome.images))


def _outcomes(store: StudyStore) -> list[Outcome]:
    trainings = (training for trial in store.trials for training in trial.trainings)
    ended = [training.outcome for training in trainings if training.outcome is not None]
    return [*ended, *store.finals.values()]


def _complete(name: str, finals: Finals) -> dict[JobKey, Outcome]:
    """Return a network's retrainings that came to their ends; if any has learnt, without what stalled."""
    mine = {key: outcome for key, outcome in finals.items() if key.name == name}
    mine = {key: outcome for key, outcome in mine.items() if outcome.status == "complete"}
    return {key: outcome for key, outcome in mine.items() if not outcome.stalled} or mine


def _trial_row(trial: Trial, finals: Finals, flops: Mapping[str, int]) -> Row:
    known = trial.best_known or trial.last
    outcome = known.outcome
    return _row(
        trial.design,
        finals,
        searched=len(trial.trainings),
        knobs=trial.knobs,
        rung=known.order.key.rung,
        status=trial.state if outcome is None else outcome.status,
        epochs=max(known.reports, default=0) if outcome is None else outcome.epochs,
        val_accuracy=None if outcome is None else outcome.val_accuracy,
        reason="" if outcome is None else outcome.reason,
        train_flops=flops[trial.design.name],
    )


def _published_row(design: Design, finals: Finals, flops: Mapping[str, int]) -> Row:
    mine = [outcome for key, outcome in finals.items() if key.name == design.name]
    complete = [outcome for outcome in mine if outcome.status == "complete"]
    return _row(
        design,
        finals,
        epochs=max((outcome.epochs for outcome in mine), default=0),
        status="complete" if complete else "failed" if mine else "waiting",
        reason=mine[0].reason if mine and not complete else "",
        train_flops=flops[design.name],
    )


def _row(design: Design, finals: Finals, *, searched: int = 0, **more: Any) -> Row:
    """Return a row, made at once with what else is known: to replace parts of thousands takes its time."""
    mine = _complete(design.name, finals).values()
    fit = design.latency_fit
    return Row(
        name=design.name,
        label=design.label,
        role=design.role,
        origin=design.origin,
        flops=design.flops,
        fill=design.fill,
        params=design.params,
        activation_bytes=design.activation_bytes,
        graph=design.graph,
        findings=design.findings,
        obeys=design.obeys,
        budget=design.budget,
        bound_by="" if fit is None else fit.bound_by,
        trainings=searched + sum(key.name == design.name for key in finals),
        final_val=Score.of([o.val_accuracy for o in mine if o.val_accuracy is not None]),
        test=Score.of([o.test_accuracy for o in mine if o.test_accuracy is not None]),
        **more,
    )


def _with_lost(row: Row, finals: Finals) -> Row:
    """Return a row that says which of its retrainings do not count."""
    counting = _complete(row.name, finals)
    lost = [
        f"stalled: {outcome.reason}" if outcome.stalled else outcome.reason
        for key, outcome in finals.items()
        if key.name == row.name and key not in counting and outcome.status != "pruned"
    ]
    return replace(row, lost=len(lost), lost_why=lost[-1]) if lost else row


def _with_stalls(row: Row, trial: Trial | None, finals: Finals) -> Row:
    """Return a row that says which of its trainings stalled; its retrainings, if any, are what counts."""
    trainings = () if trial is None else trial.trainings
    searched = [t.outcome for t in trainings if t.outcome is not None]
    again = [outcome for key, outcome in finals.items() if key.name == row.name]
    if all(_is_plain(outcome) for outcome in (*searched, *again)):
        return row  # as nearly all of thousands are
    counting = again or searched[-1:]
    learnt = [outcome for outcome in counting if outcome.status != "failed" and not outcome.stalled]
    slowed = [o for o in (*searched, *again) if o.rate_share < 1 and not o.stalled]
    return replace(
        row,
        stalled=not learnt and any(outcome.stalled for outcome in counting),
        stalls=sum(outcome.stalled for outcome in (*searched, *again)),
        retried=sum(outcome.status == "complete" for outcome in slowed),
        rate_share=min((outcome.rate_share for outcome in learnt), default=1.0),
        microbatches=max((outcome.microbatches for outcome in counting), default=1),
    )


def _is_plain(outcome: Outcome) -> bool:
    """Whether a training learnt at once, in whole batches."""
    return not outcome.stalled and outcome.rate_share == 1 and outcome.microbatches == 1


def _with_latency(
    rows: Sequence[Row], found: Mapping[str, Latency | str], bound: str | None
) -> list[Row]:
    """Return the rows with their latencies; those that are slower than the bound say so."""
    done = []
    for row in rows:
        known = found.get(row.name)
        if not isinstance(known, Latency):
            done.append(row)
            continue
        ms = known.median_ms
        slow = bound is not None and ms > SPARE_LATENCY * parse_latency(bound)
        why = f"too slow: {format_ms(ms)} ms a call, --max-latency is {bound}"
        done.append(
            replace(
                row,
                latency_ms=ms,
                latency_p10_ms=known.p10_ms,
                latency_p90_ms=known.p90_ms,
                too_slow=slow,
                reason=why if slow else row.reason,
            )
        )
    return done


def _with_expected(row: Row, judge: Judge | None) -> Row:
    """Return a row that says what is expected of its network."""
    if judge is not None and row.name in judge.belief.expected:
        return replace(row, expected=judge.belief.expected[row.name])
    # Published networks are none of those that the others are judged by.
    return row if row.final_val is None else replace(row, expected=row.final_val.mean)


def _verdict(winner: str, rows: Sequence[Row], judge: Judge | None) -> Verdict | None:
    if judge is None:
        return None
    retrained = [row.name for row in rows if row.retrained and row.name in judge.belief.expected]
    return judge.verdict(winner, retrained=retrained)


def _winner(rows: Sequence[Row]) -> str | None:
    """Return the winner by validation alone, among those that are quick enough, if any is.

    A published network may cost more than the budget: it can't win.
    """
    able = [row for row in rows if row.origin != "published" and row.final_val is not None]
    if not able:
        return None
    able = [row for row in able if not row.stalled] or able
    able = [row for row in able if not row.too_slow] or able
    return min(able, key=lambda row: (-(row.expected or 0), row.name)).name


def _slices(
    rows: Sequence[Row], judges: Mapping[int | None, Judge | None], finals: Finals
) -> tuple[SliceResult, ...]:
    """Return what came of each budget."""
    found, points = [], dict[str, Point]()
    for budget, judge in judges.items():
        assert budget is not None
        mine = [row for row in rows if row.budget == budget]
        best = _winner(mine)
        key = None if best is None else best_final_key(best, finals)
        matched = [row for row in mine if row.origin == "matched"]
        classic = max(matched, key=lambda row: row.expected or 0.0, default=None)
        points |= {row.name: Point(row.flops, row.expected or 0.0) for row in mine}
        found.append(
            SliceResult(
                budget=budget,
                best=best,
                classic=None if classic is None else classic.name,
                verdict=None if best is None else _verdict(best, mine, judge),
                best_key=None if key is None else str(key),
                best_val=None if key is None else finals[key].val_accuracy,
                best_test=None if key is None else finals[key].test_accuracy,
            )
        )
    return with_front(found, points)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Return rows as a leaderboard has them, with their places; slices one after the other."""
    ranked = []
    for place, row in enumerate(sorted(rows, key=_order), start=1):
        scored = any(score is not None for score in (row.final_val, row.val_accuracy, row.test))
        ranked.append(replace(row, rank=place if scored and not row.stalled else None))
    return ranked


def slice_within(slices: Sequence[SliceResult], flops: int, *, study: str) -> SliceResult:
    """Return the slice of a budget; between two, that of the smaller one: its networks are within.

    Raises:
        UserError: the study has one budget, or none so small.
    """
    if not slices:
        raise UserError(f"study {study!r} has one budget; leave --flops out")
    within = [one for one in slices if one.budget <= flops]
    if not within:
        each = ", ".join(one.text for one in slices)
        raise UserError(
            f"study {study!r} has no network of {budget_text(flops)} FLOPs; its budgets are {each}"
        )
    return within[-1]


def of_slice(result: StudyResult, flops: int) -> StudyResult:
    """Return a study of several budgets as if it had been one of this budget alone.

    Raises:
        UserError: it has one budget, or none so small.
    """
    one = slice_within(result.slices, flops, study=result.study)
    rows = [row for row in result.rows if row.budget == one.budget or row.origin == "published"]
    rows = [replace(row, winner=row.name == one.best, front=False, budget=None) for row in rows]
    return replace(
        result,
        settings=replace(result.settings, flops=one.text, slices=None),
        rows=tuple(in_order(rows)),
        verdict=one.verdict,
        best_key=one.best_key,
        best_val=one.best_val,
        best_test=one.best_test,
        slices=(),
    )


def _best(rows: Sequence[Row], slices: Sequence[SliceResult]) -> str | None:
    """Return the winner of a search: of several budgets that of the knee, or the most accurate."""
    if not slices:
        return _winner(rows)
    chosen = chosen_one(slices)
    return None if chosen is None else chosen.best


def _trained(rows: Sequence[Row]) -> str | None:
    """Return the network of a full training, once it has come to its end."""
    return next((row.name for row in rows if row.status == "complete"), None)


def _order(row: Row) -> tuple[float, int, float, float, int, str]:
    """Slices from small to large, finalists first: one lucky trial must not stand above a mean over seeds."""
    budget = math.inf if row.budget is None else row.budget
    if row.final_val is not None and not row.stalled:
        return (budget, 0, 0, -(row.expected or 0), 0, row.name)
    group = 3 if row.stalled else {"complete": 1, "pruned": 2}.get(row.status, 4)
    accuracy = row.val_accuracy if row.val_accuracy is not None else -math.inf
    return (budget, group, -row.rung, -accuracy, -row.epochs, row.name)
