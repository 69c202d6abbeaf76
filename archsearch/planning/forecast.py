"""What a run will take, before it starts: counted where it can be counted, measured where not."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from archsearch.archive.orders import Length
from archsearch.archive.store import StudyStore
from archsearch.data.dataset import SPLITS
from archsearch.errors import UserError
from archsearch.ir.ops import BatchNorm
from archsearch.planning.baselines import scaled_up
from archsearch.planning.earlier_durations import told
from archsearch.planning.ladder import Done, Ladder, most
from archsearch.planning.microbatches import step_memory
from archsearch.planning.pace import Pace
from archsearch.planning.problem import Problem
from archsearch.planning.sharing import Sharing
from archsearch.readings.cost import cost
from archsearch.strategy.bounds import kept_for_finals
from archsearch.strategy.closing import closing_s
from archsearch.training.job import evaluation_count
from archsearch.units import (
    counted,
    format_count,
    format_duration,
    format_memory,
    parse_duration,
    parse_flops,
    training_flops,
)
from archsearch.uris import shown_uri

LONG_S: Final = 4 * 3600.0
"""Seconds from which on a forecast comes with advice on what would be quicker."""
SENSIBLE_S: Final = 3 * 3600.0
FEW_STEPS: Final = 100
"""Training steps below which a trial tells little, which is said where nobody asked for so few."""
_ENOUGH_STEPS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The plan of a run.

    Attributes:
        space: that is searched; empty: one network is trained in full.
        network: the one that is; empty: a space is searched.
        train_on: the splits that are trained on.
        knobs: the values of each knob, in words.
        distinct: combinations of knob values.
        classics: matched baselines that are no trials: each is trained in the finals, with every seed.
        budget, reach: FLOPs from and to: what is asked for, and what the space can meet.
        slices: FLOPs of each of several budgets; empty: there is one.
        resized: whether the image size was asked for (other images are resized to it).
        shares: how workers share the machine, in words.
        backend, backend_why: what trains, and why it is this one.
        precision: that it computes in.
        compiled: whether a compiler fuses the training steps.
        tried: other ways to share the machine that were measured, in words, and how fast each one is
            as a part of this one's speed.
        trials, finals: networks to try and retrainings that are left to do.
        folded: whether each seed of the finals has a split of its own of the images.
        trial_images, epochs: the full length of a training.
        short: the length that trials begin with, where it is not the full one; None: it is.
        promotions: trials that are expected to train at the full length, too, in what is left to do.
        val_every: epochs from one evaluation of the validation images to the next.
        trial_flops, short_flops: training FLOPs of a trial at the full length, and of a short one.
        total_flops: of everything, without pruning.
        memory: what a training step holds, in bytes by kind, for the space's classic.
        microbatches: in how many parts its batches are taken.
        at_once: images of the largest part.
        free_bytes: memory that is free on this machine now.
        trial_s … total_s: expected times, of a full and a short trial first; None before the pace has been
            measured.
        runs: where MLflow keeps the runs: an address that may be shown; None: in the home.
        max_latency: the bound on a call of any network, as written; None: there is none.
        measured: networks whose latency is measured after the finals.
        fit: trials that fit into the bounds asked for; None without bounds. Promotions are of these.
        durations_from: how many networks of each earlier study say how long networks train, by its name.
        notes: what a person should know or could do about it, one line each.
    """

    space: str = ""
    title: str = ""
    network: str = ""
    train_on: str = "train"
    knobs: Mapping[str, str] = field(default_factory=dict)
    distinct: int = 0
    folded: bool = False
    classics: tuple[str, ...] = ()
    budget: tuple[int, int] = (0, 0)
    slices: tuple[int, ...] = ()
    reach: tuple[int, int] = (0, 0)
    input: tuple[int, int, int]
    resized: bool
    classes: int
    images: Mapping[str, int]
    trials: int
    finals: int
    workers: int
    shares: str
    backend: str
    backend_why: str
    precision: str
    compiled: bool
    batch: int
    epochs: int
    val_every: int
    trial_images: int
    trial_flops: int
    short: Length | None = None
    short_flops: int = 0
    promotions: int = 0
    finals_flops: int
    total_flops: int
    memory: Mapping[str, int]
    microbatches: int = 1
    at_once: int
    free_bytes: int
    pace: Pace | None = None
    trial_s: float | None = None
    short_s: float | None = None
    search_s: float | None = None
    finals_s: float | None = None
    closing_s: float = 0.0
    total_s: float | None = None
    fit: int | None = None
    runs: str | None = None
    max_latency: str | None = None
    measured: int = 0
    tried: Mapping[str, float] = field(default_factory=dict)
    durations_from: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


def expected(
    problem: Problem,
    pace: Pace | str,
    *,
    elapsed_s: float,
    store: StudyStore | None = None,
) -> Forecast:
    """Return what a run will take: one that is new, or what is left of a study.

    `pace` is as measured, or says why there is none; `elapsed_s` is what the run has taken so far.
    """
    done = Done() if store is None else Done.of(store)
    counted = forecast(problem, done)
    counted = replace(counted, notes=(*counted.notes, *scaled_up(problem.networks)))
    if isinstance(pace, Pace):
        notes = (*told(pace.durations), *_troubles(pace, problem), *_afterwards(pace, problem))
        known = {} if pace.durations is None else pace.durations.studies
        counted = replace(counted, notes=(*counted.notes, *notes), durations_from=known)
        return timed(counted, pace, problem, done, elapsed_s=elapsed_s)
    note = f"how long it takes is not known: {pace}"
    return replace(counted, notes=(*counted.notes, note))


def _troubles(pace: Pace, problem: Problem) -> Iterator[str]:
    """Yield what went wrong as the pace was measured."""
    if pace.failed:
        yield f"{pace.failed}; with fewer --workers or a smaller --batch-size they may not"
    if problem.sharing.setups[0].gpu is not None and not pace.device:
        yield (
            f"{problem.sharing.backend} was given a GPU but trains on the processor: it lacks NVIDIA's "
            "libraries, or the driver is too old for it"
        )


def _afterwards(pace: Pace, problem: Problem) -> Iterator[str]:
    """Yield how long the full training takes that follows a search, if one does."""
    epochs = problem.settings.train_winner
    if epochs is not None:
        seconds = epochs * problem.train_images / pace.trained_per_s
        yield (
            f"then the best network is trained in full, for {epochs} epochs: about "
            f"{format_duration(seconds)} more, whatever the bounds of the search"
        )


def forecast(problem: Problem, done: Done) -> Forecast:
    """Return what a run will take, counted; how long that is on this machine `timed` adds.

    Raises:
        UserError: there is not the memory to train on one image at a time.
    """
    settings, dataset = problem.settings, problem.dataset
    ladder, plan = Ladder.of(problem, done), problem.plan()
    trials = min(problem.trials, plan.get("distinct") or problem.trials)
    trials = max(0, trials - done.trials)
    finals, finals_flops = _finals(problem, ladder.full_flops, done.finals)
    measured = problem.retrained + len(problem.networks)
    found = Forecast(
        **plan,
        input=dataset.input,
        resized=settings.input is not None,
        classes=len(dataset.classes),
        images={name: len(dataset.split(name)) for name in SPLITS},
        trials=trials,
        finals=finals,
        **_sharing_facts(problem.sharing),
        batch=problem.recipe.batch,
        epochs=ladder.full.epochs,
        val_every=problem.val_every(ladder.full.epochs),
        trial_images=ladder.full.images,
        trial_flops=ladder.full_flops,
        short=ladder.short,
        short_flops=0 if ladder.short is None else ladder.first_flops,
        promotions=ladder.promotions(trials),
        finals_flops=finals_flops,
        total_flops=ladder.spent(trials) + finals_flops,
        **_step_facts(problem),
        free_bytes=problem.machine.memory_bytes,
        closing_s=closing_s(settings.export, 0.0, 0.0, measured=measured, training_s=0.0),
        measured=measured,
        runs=settings.tracking_uri and shown_uri(settings.tracking_uri),
        max_latency=settings.max_latency,
    )
    return replace(found, notes=(*found.notes, *_notes(found, problem)))


def _finals(problem: Problem, trial_flops: int, done: int) -> tuple[int, int]:
    """Return how many finals are left to do, and their training FLOPs."""
    settings = problem.settings
    own = problem.retrained * settings.seeds
    count = own + len(problem.networks) * settings.seeds
    share = 1 - min(1.0, done / count) if count else 0.0
    published = sum(
        training_flops(flops, problem.length(flops).images) * settings.seeds
        for flops in (cost(graph).flops for graph in problem.networks.values())
    )
    return max(0, count - done), round((own * trial_flops + published) * share)


def _sharing_facts(sharing: Sharing) -> dict[str, Any]:
    return {
        "workers": sharing.workers,
        "shares": sharing.shares,
        "backend": sharing.backend,
        "backend_why": sharing.backend_why,
        "precision": sharing.precision,
        "compiled": sharing.compiled,
    }


def _step_facts(problem: Problem) -> dict[str, Any]:
    """Return what is said of a training step.

    Raises:
        UserError: there is not the memory for one image.
    """
    step, sharing = problem.step(problem.example), problem.sharing
    if step.fits:
        return {
            "memory": {**asdict(step.memory), "total_bytes": step.memory.total_bytes},
            "microbatches": step.microbatches,
            "at_once": step.images,
        }
    more = ""
    if problem.settings.memory is not None:
        more = "a larger --memory or "
    elif sharing.workers > 1:
        more = "fewer --workers or "
    raise UserError(
        f"a training step of one image needs about {format_memory(step.memory.total_bytes)}, and each of "
        f"{counted(sharing.workers, 'worker')} has {format_memory(problem.room_bytes)}; try {more}a smaller "
        "--input"
    )


def _notes(found: Forecast, problem: Problem) -> Iterator[str]:
    """Yield what a person should hear of a plan, one line each."""
    yield from _short_notes(found, problem)
    if problem.trials < len(found.slices):  # budgets have their turn, so the last ones get none
        count = len(found.slices)
        yield (
            f"{counted(problem.trials, 'trial')} for {count} budgets leave "
            f"{count - problem.trials} without a network but the classic; --trials {count} gives each one"
        )
    yield from _memory_notes(found, problem)


def _short_notes(found: Forecast, problem: Problem) -> Iterator[str]:
    """Yield a line where a trial is so short that a network learns little, if nobody asked for that."""
    settings = problem.settings
    steps = found.trial_images // found.batch
    if steps < FEW_STEPS and settings.epochs is None and settings.train_flops is None:
        more = math.ceil(_ENOUGH_STEPS * found.batch / problem.train_images)
        what = "training" if found.network else "trial"
        yield (
            f"a {what} takes only {steps} training steps of {found.batch} images, in which "
            f"a network learns little; --epochs {more} gives it {_ENOUGH_STEPS}"
        )


def _memory_notes(found: Forecast, problem: Problem) -> Iterator[str]:
    """Yield a line where a worker's training step needs more memory than there is for it."""
    if found.microbatches == 1:
        return
    own = found.batch // problem.sharing.devices
    whole = step_memory(
        problem.example, problem.recipe, problem.sharing.precision, images=own
    ).total_bytes
    most = whole / problem.usable_share
    normalized = ""
    if any(isinstance(node.op, BatchNorm) for node in problem.example):
        normalized = ", and batch normalization goes by each part"
    yield (
        f"a training step of {own} images may take {format_memory(most)}, and each worker has "
        f"{format_memory(problem.room_bytes)}: batches are taken in {found.microbatches} microbatches of "
        f"{found.at_once} at most; their gradients are added{normalized}"
    )


def timed(
    found: Forecast, pace: Pace, problem: Problem, done: Done, *, elapsed_s: float = 0.0
) -> Forecast:
    """Return the forecast with times: those of a run whose trials are never pruned."""
    ladder, settings = Ladder.of(problem, done), problem.settings
    train_s, evaluations_s = _training_s(ladder.full, found, pace, problem)
    trial_s = pace.start_s + train_s + evaluations_s
    short_s = None
    if ladder.short is not None:
        short_s = pace.start_s + sum(_training_s(ladder.short, found, pace, problem))
    finals_s = _finals_s(found, pace, train_s + evaluations_s)
    after_s = closing_s(
        settings.export,
        pace.start_s,
        pace.process_s,
        measured=found.measured,
        training_s=pace.start_s + train_s,
    )

    def search_s(trials: int) -> float:
        first_s = trial_s if short_s is None else short_s
        return ladder.seconds(trials, first_s=first_s, full_s=trial_s, workers=found.workers)

    found = replace(found, closing_s=after_s)
    fit = _fit(
        found, ladder, problem,
        search_s=search_s, besides_s=elapsed_s + found.closing_s, finals_s=finals_s,
        full_s=trial_s,
    )  # fmt: skip
    trials = found.trials if fit is None else fit
    total_s = elapsed_s + search_s(trials) + finals_s + found.closing_s
    result = replace(
        found, pace=pace, trial_s=trial_s, short_s=short_s, search_s=search_s(trials),
        finals_s=finals_s, total_s=total_s, fit=fit, promotions=ladder.promotions(trials),
    )  # fmt: skip
    if total_s > LONG_S and settings.max_time is None:
        result = replace(result, notes=(*result.notes, _advice(result, problem)))
    return result


def _finals_s(found: Forecast, pace: Pace, full_s: float) -> float:
    """Return what the finals take; `full_s`: of a training of full length, once it has started."""
    if not found.finals:
        return 0.0
    # Published networks have FLOPs of their own; in training alone time follows from FLOPs.
    scale = found.finals_flops / (found.finals * found.trial_flops)
    final_s = pace.start_s + scale * full_s + found.images["test"] / pace.evaluated_per_s
    return math.ceil(found.finals / found.workers) * final_s


def _training_s(
    length: Length, found: Forecast, pace: Pace, problem: Problem
) -> tuple[float, float]:
    """Return the seconds of a training's steps, and of its evaluations."""
    every = problem.val_every(length.epochs)
    evaluations = evaluation_count(epochs=length.epochs, every=every)
    if found.train_on != "train":
        evaluations = 0
    train_s = length.images / pace.trained_per_s
    return train_s, evaluations * found.images["val"] / pace.evaluated_per_s


def _fit(
    found: Forecast,
    ladder: Ladder,
    problem: Problem,
    *,
    search_s: Callable[[int], float],
    besides_s: float,
    finals_s: float,
    full_s: float,
) -> int | None:
    """Return the trials that fit into the bounds, the finals taking their share of these at most."""
    settings = problem.settings
    if not problem.trials:
        return None
    counts = []
    if settings.max_time is not None:
        bound_s = parse_duration(settings.max_time)
        kept_s = kept_for_finals(finals_s, one=full_s, bound=bound_s)
        counts.append(most(found.trials, cost=search_s, bound=bound_s - besides_s - kept_s))
    if settings.search_flops is not None:
        bound = parse_flops(settings.search_flops)
        kept = kept_for_finals(found.finals_flops, one=ladder.full_flops, bound=bound)
        counts.append(most(found.trials, cost=ladder.spent, bound=bound - kept))
    return min(counts) if counts else None


def _advice(found: Forecast, problem: Problem) -> str:
    """Return what would take a few hours: a smaller budget, or fewer and shorter trainings."""
    assert found.total_s is not None
    assert found.trial_s is not None
    share = SENSIBLE_S / found.total_s
    low, high = found.reach
    ways = []
    flops = found.budget[1] * share
    if found.network:
        pass  # it is what it is
    elif flops >= low:
        ways.append(f"--flops {format_count(min(flops, high), digits=2)}")
    else:
        side = max(32, 32 * int(min(found.input[:2]) * math.sqrt(share) / 32))
        if side < min(found.input[:2]):
            small = max(10**6, int(f"{flops:.0e}".partition("e")[0]) * 10 ** int(math.log10(flops)))
            size = f"{side}x{side}x{found.input[2]}"
            ways.append(f"--input {size} --flops {format_count(small, digits=2)}")
    trainings = found.trials + found.finals if found.short is None else found.trials
    epochs = int(found.epochs * share)
    if epochs >= 1:
        ways.append(f"--epochs {epochs}")
    if share * trainings >= 3 and not found.network:
        trials = max(1, int(share * trainings) - 2)
        ways.append(f"--trials {trials} --finalists 1 --seeds 1 --baselines none")
    if found.trial_s * 3 < SENSIBLE_S:
        ways.append(f"--max-time {round(SENSIBLE_S / 3600)}h")
    return (
        f"this takes {format_duration(found.total_s)} on this device; within "
        f"{round(SENSIBLE_S / 3600)} hours would be: {' or '.join(ways) or 'nothing of this size'}"
    )
