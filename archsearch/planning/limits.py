"""Bounds on a whole search, in time and in FLOPs: what still fits, and what must end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import fmean, median, stdev
from typing import Final

from archsearch.archive.leaderboard import final_key, final_outcomes, published
from archsearch.archive.store import StudyStore
from archsearch.planning.forecast import Forecast, closing_s
from archsearch.settings import RunSettings
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import parse_duration, parse_flops

FINALS_SHARE: Final = 0.5
"""The finals are reserved for, but for no more than this share of a bound."""
_SPARE: Final = 0.25
"""A trial under way may take this much of what is reserved for the finals."""
_LATE: Final = 0.02
"""What is under way may end so much later than asked for: it would be thrown away otherwise."""
_SURELY: Final = 0.5
"""The part of a first epoch's time that the others take at least."""
_ENOUGH: Final = 1.15
"""So many times what one trial and a final are expected to take is a bound that they fit into."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a training, or several, take."""

    seconds: float = 0.0
    flops: float = 0.0


@dataclass(slots=True)
class _Job:
    load: Load
    epochs: int
    began: float
    share: float = 0.0  # of the training that is done
    walls_s: dict[int, float] = field(default_factory=dict)  # when epochs ended
    left_s: float = 0.0  # as of its last report


@dataclass(slots=True, kw_only=True)
class Limits:
    """Keeps account of a search's time and FLOPs; without bounds everything fits.

    Attributes:
        time_s: wall-clock seconds of the whole run.
        flops: training FLOPs of the whole run.
        text: the bounds as a person wrote them, for messages.
        began: when the run began, on `clock`; earlier parts of a resumed run are counted in.
        spent_flops: FLOPs of trainings that have ended.
        trial: what a trial takes, by the forecast.
        finals: what all finals take together, by the forecast.
        export: whether the best network is exported at the end.
        start_s: what a training needs to start, as measured before.
        process_s: what a process needs before it can train, likewise.
        measured: networks whose latency is measured after the finals.
        workers: trainings at the same time.
        no_result: whether all would be in vain without what trains now: it is given the time of what
            comes after it, too.
    """

    time_s: float | None = None
    flops: float | None = None
    text: str = ""
    clock: Callable[[], float] = time.monotonic
    began: float = 0.0
    spent_flops: float = 0.0
    trial: Load = field(default_factory=Load)
    finals: Load = field(default_factory=Load)
    export: bool = False
    start_s: float = 0.0
    process_s: float = 0.0
    measured: int = 0
    workers: int = 1
    no_result: bool = False
    _running: dict[str, _Job] = field(default_factory=dict)
    _trials_s: list[float] = field(default_factory=list)
    _starts_s: list[float] = field(default_factory=list)
    _fits_s: list[float] = field(default_factory=list)

    @property
    def bounded(self) -> bool:
        """Whether there is a bound at all."""
        return self.time_s is not None or self.flops is not None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.clock() - self.began

    @property
    def closing_s(self) -> float:
        """Seconds kept for what comes after the last training: measuring latency, and the export."""
        return 0.0 if self.no_result else self._closing_s(self.measured)

    @property
    def over(self) -> bool:
        """Whether the time is up, whatever is still running."""
        if self.time_s is None:
            return False
        return self.elapsed_s > (1 + _LATE) * self.time_s - self.closing_s / 2

    def admits_latency(self, *, under_way: bool = False) -> bool:
        """Whether there is time to measure one more latency; or to go on with it."""
        if self.time_s is None:
            return True
        after_s = self._closing_s(0 if under_way else 1)
        return self.elapsed_s + after_s <= (1 + _LATE) * self.time_s

    def _closing_s(self, measured: int) -> float:
        process_s = max(1.0, self._slowness) * self.process_s
        return closing_s(
            self.export,
            self._training_start_s,
            process_s,
            measured=measured,
            training_s=self.trial.seconds,
        )

    @property
    def _training_start_s(self) -> float:
        """What a training takes until its first step."""
        return median(self._starts_s) if self._starts_s else self.start_s

    @property
    def _slowness(self) -> float:
        """How much longer than forecast trials have taken: the machine may have other work, too."""
        if not self._trials_s or not self.trial.seconds:
            return 1.0
        return fmean(self._trials_s) / self.trial.seconds

    # --- what happens ---------------------------------------------------------------------------

    def fitted(self, seconds: float) -> None:
        """Note how long it took to make a trial's network quick enough."""
        self._fits_s.append(seconds)

    def started(self, key: str, flops: float, epochs: int) -> None:
        """Note that a training begins."""
        self._running[key] = _Job(Load(flops=flops), epochs, self.clock())

    def reported(self, report: EpochReport) -> None:
        """Note how far a training is."""
        job = self._running.get(report.key)
        if job is not None:
            job.share = report.epoch / max(1, job.epochs)
            job.walls_s[report.epoch] = report.wall_s
            job.left_s = self._epoch_s(job, report) * (job.epochs - report.epoch)
            # The first epoch has the start in it, the second has not.
            if report.epoch == 2 and 1 in job.walls_s:
                self._starts_s.append(max(0.0, 2 * job.walls_s[1] - job.walls_s[2]))

    def ended(self, outcome: Outcome, *, trial: bool) -> None:
        """Note that a training is over; trials say how long the next one will take."""
        job = self._running.pop(outcome.key, None)
        if job is None:
            return
        # One that failed does not say how far it came.
        share = max(job.share, outcome.epochs / max(1, job.epochs))
        self.spent_flops += job.load.flops * min(1.0, share)
        if trial and outcome.status == "complete":
            self._trials_s.append(self.clock() - job.began)
        elif trial and job.left_s:
            self._trials_s.append(max(job.walls_s.values()) + job.left_s)

    # --- what fits ------------------------------------------------------------------------------

    @property
    def trial_s(self) -> float:
        """Expected seconds of the next trial: the mean of those before it and their sd."""
        fit_s = fmean(self._fits_s) if self._fits_s else 0.0
        if not self._trials_s:
            return self.trial.seconds + fit_s
        spread = stdev(self._trials_s) if len(self._trials_s) > 1 else 0.0
        return fmean(self._trials_s) + spread + fit_s

    def admits_trial(self) -> bool:
        """Whether another trial fits, with the finals after it."""
        if self.time_s is not None:
            needed_s = self.trial_s + self._reserve_s() + self.closing_s
            if self.elapsed_s + needed_s > self.time_s:
                return False
        if self.flops is not None:
            reserve = min(self.finals.flops, FINALS_SHARE * self.flops)
            return self._committed + self.trial.flops + reserve <= self.flops
        return True

    def admits_final(self, load: Load) -> bool:
        """Whether a final that takes so much fits."""
        end_s = self.elapsed_s + load.seconds + self.closing_s
        late = 1 + _LATE if self.no_result else 1
        if self.time_s is not None and end_s > late * self.time_s:
            return False
        return self.flops is None or self._committed + load.flops <= self.flops

    def cuts_trial(self, report: EpochReport) -> bool:
        """Whether a trial must end here: its rest would take too much of the finals' time."""
        if self.time_s is None:
            return False
        return self._too_late(report, (1 - _SPARE) * self._reserve_s() + self.closing_s)

    def cuts_final(self, report: EpochReport) -> bool:
        """Whether a final must end here: its rest would not fit, and there is a result without it."""
        return not self.no_result and self._too_late(report, self.closing_s)

    def least(self) -> Mapping[str, float]:
        """Return the smallest bounds under which one trial and a final of each finalist fit."""
        found = {}
        if self.time_s is not None:
            before_s = self.elapsed_s + self.trial_s + self.closing_s
            found["max_time"] = _ENOUGH * (before_s + min(self.finals.seconds, before_s))
        if self.flops is not None:
            found["search_flops"] = self.trial.flops + min(self.finals.flops, self.trial.flops)
        return found

    @property
    def _committed(self) -> float:
        return self.spent_flops + sum(job.load.flops for job in self._running.values())

    def _reserve_s(self) -> float:
        assert self.time_s is not None
        # The finals turn out as much slower or faster than forecast as the trials did, rather slower.
        spread = stdev(self._trials_s) if len(self._trials_s) > 1 else 0.0
        slowness = self._slowness + (spread / self.trial.seconds if self.trial.seconds else 0.0)
        return min(slowness * self.finals.seconds, FINALS_SHARE * self.time_s)

    def _too_late(self, report: EpochReport, after_s: float) -> bool:
        job = self._running.get(report.key)
        if self.time_s is None or job is None or report.outdated:
            return False
        return job.left_s > 0 and self.elapsed_s + job.left_s + after_s > (1 + _LATE) * self.time_s

    def _epoch_s(self, job: _Job, report: EpochReport) -> float:
        """Expect so much of each epoch that follows a report."""
        begun, wall_s = next(iter(job.walls_s.items()))
        if report.epoch > begun:
            return (report.wall_s - wall_s) / (report.epoch - begun)
        # What comes before the first step is no epoch, and one epoch alone may have been disturbed.
        return _SURELY * max(0.0, report.wall_s - self._training_start_s) / report.epoch


def limits_of(settings: RunSettings, found: Forecast, *, clock: Callable[[], float]) -> Limits:
    """Return the account of the bounds that settings ask for."""
    bounds = []
    if settings.max_time is not None:
        bounds.append(f"--max-time {settings.max_time}")
    if settings.search_flops is not None:
        bounds.append(f"--search-flops {settings.search_flops}")
    return Limits(
        time_s=None if settings.max_time is None else parse_duration(settings.max_time),
        flops=None if settings.search_flops is None else parse_flops(settings.search_flops),
        text=" and ".join(bounds),
        clock=clock,
        trial=Load(found.trial_s or 0.0, found.trial_flops),
        finals=Load(found.finals_s or 0.0, found.finals_flops),
        export=settings.export,
        start_s=found.pace.start_s if found.pace else 0.0,
        process_s=found.pace.process_s if found.pace else 0.0,
        measured=found.measured,
        workers=found.workers,
    )


def spent_flops(store: StudyStore) -> float:
    """Sum up the training FLOPs of what has ended in a study."""
    facts = {trial.notes["name"]: trial.notes for trial in store.trials} | dict(published(store))
    done = [(t.notes["name"], t.notes["outcome"]) for t in store.trials if "outcome" in t.notes]
    finals = final_outcomes(store)
    done += [
        (name, outcome)
        for name in facts
        for key, outcome in finals.items()
        if key.rpartition("-seed")[0] == final_key(name, 0).rpartition("-seed")[0]
    ]
    images = (outcome["images_per_s"] * outcome["train_s"] for _, outcome in done)
    spent = 0.0
    for (name, _), count in zip(done, images, strict=True):
        spent += 3 * facts[name]["flops"] * count
    return spent
