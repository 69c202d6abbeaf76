"""Bounds on a whole search, in time and in FLOPs: what still fits, and what must end.

An account of what has passed: it is told the time and reads no clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from archsearch.statistics.stream import Median, Stream
from archsearch.strategy.closing import closing_s
from archsearch.training.job import EpochReport, Outcome

_FINALS_SHARE: Final = 0.3
"""The share of a bound that is kept for the finals at most: the rest is search;"""
_LEAST_FINALS: Final = 2
"""but these trainings are, the best candidate's and the baseline's,"""
_LEAST_SHARE: Final = 0.5
"""as far as they fit into this share."""
_SPARE: Final = 0.25
"""The share of what is kept for the finals that a trial under way may take."""
_LATE: Final = 0.02
"""The share of a bound on time by which what is under way may be late: it would be thrown away otherwise."""
_SURELY: Final = 0.5
"""The share of a first epoch's time that each later epoch takes at least."""
_ENOUGH: Final = 1.15
"""Times what one trial and a final are expected to take that a bound must be for both to fit."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a training, or several, take."""

    seconds: float = 0.0
    flops: float = 0.0


def kept_for_finals(finals: float, *, one: float, bound: float) -> float:
    """Return what of a bound is kept for the finals, in its own unit.

    Args:
        finals: what all that are asked for take.
        one: what one training takes.
        bound: of everything.
    """
    least = _least_for_finals(finals, one=one, bound=bound)
    return max(min(finals, _FINALS_SHARE * bound), least)


def _least_for_finals(finals: float, *, one: float, bound: float) -> float:
    """Return what is kept after the last promotions: what never trained in full wins no finals."""
    return min(finals, _LEAST_FINALS * one, _LEAST_SHARE * bound)


def _kept_beside_short(finals: float, *, one: float, bound: float) -> float:
    """Return what is kept where a short training is to begin: room for a last promotion, too, if there is."""
    last = _least_for_finals(finals, one=one, bound=bound) + one
    kept = kept_for_finals(finals, one=one, bound=bound)
    return max(kept, last) if last <= _LEAST_SHARE * bound else kept


def _kept(share: float, *, closing: bool) -> Callable[..., float]:
    """Return what says how much is kept beside a training of a share of the full length."""
    if closing:
        return _least_for_finals
    return _kept_beside_short if share < 1 else kept_for_finals


class Least(NamedTuple):
    """The smallest bounds that do, in seconds and in training FLOPs; None: there is no such bound."""

    seconds: float | None
    flops: float | None


@dataclass(slots=True)
class _Job:
    load: Load
    epochs: int
    began_s: float
    share: float = 1.0  # of the full length
    before: int = 0  # epochs of a first try, which stalled
    walls_s: dict[int, float] = field(default_factory=dict)  # when epochs ended
    left_s: float = 0.0  # as of its last report


@dataclass(slots=True, kw_only=True)
class Bounds:
    """Keeps account of a search's time and FLOPs; without bounds everything fits.

    Attributes:
        time_s: wall-clock seconds of the whole run.
        flops: training FLOPs of the whole run.
        text: the bounds as a person wrote them, for messages.
        began_s: when the run began; earlier parts of a resumed run are counted in.
        now_s: the time now, as it was last told (see `at`).
        spent_flops: FLOPs of trainings that have ended.
        trial: what a trial takes, by the forecast.
        finals: what all finals take together, by the forecast.
        export: whether the best network is exported at the end.
        start_s: what a training needs to start, as measured before.
        process_s: what a process needs before it can train, likewise.
        measured: networks whose latency is measured after the finals.
        no_result: whether all would be in vain without what trains now: it is given the time of what
            comes after it, too.
    """

    time_s: float | None = None
    flops: float | None = None
    text: str = ""
    began_s: float = 0.0
    now_s: float = 0.0
    spent_flops: float = 0.0
    trial: Load = field(default_factory=Load)
    finals: Load = field(default_factory=Load)
    export: bool = False
    start_s: float = 0.0
    process_s: float = 0.0
    measured: int = 0
    no_result: bool = False
    _running: dict[str, _Job] = field(default_factory=dict)
    _trials_s: Stream = field(default_factory=Stream)
    _starts_s: Median = field(default_factory=Median)
    _fits_s: Stream = field(default_factory=Stream)

    @property
    def bounded(self) -> bool:
        """Whether there is a bound at all."""
        return self.time_s is not None or self.flops is not None

    @property
    def text_with_finals(self) -> str:
        """The bounds for messages on what does not fit into them, with the finals if there are any."""
        return f"{self.text} with the finals" if self.finals.flops else self.text

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self.now_s - self.began_s

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
        return self._starts_s.value if self._starts_s else self.start_s

    @property
    def _slowness(self) -> float:
        """How much longer than forecast trials have taken: the machine may have other work, too."""
        if not self._trials_s or not self.trial.seconds:
            return 1.0
        return self._trials_s.mean / self.trial.seconds

    def at(self, now_s: float) -> None:
        """Take note of the time, in seconds on whatever clock `began_s` is on."""
        self.now_s = now_s

    # --- what happens ---------------------------------------------------------------------------

    def fitted(self, seconds: float) -> None:
        """Note how long it took to make a trial's network quick enough."""
        self._fits_s.add(seconds)

    def started(self, key: str, flops: float, epochs: int, *, share: float = 1.0) -> None:
        """Note that a training begins, of so many training FLOPs: a `share` of the full length."""
        self._running[key] = _Job(Load(flops=flops), epochs, self.now_s, share)

    def reported(self, report: EpochReport) -> None:
        """Note how far a training is."""
        job = self._running.get(report.key)
        if job is not None:
            if report.before and not job.before:  # it has begun anew, and costs as much once more
                job.before = report.before
                job.load = Load(flops=job.load.flops * (1 + report.before / job.epochs))
            done = report.before + report.epoch
            job.walls_s[done] = report.wall_s
            job.left_s = self._epoch_s(job, report) * (job.epochs - report.epoch)
            # The first epoch has the start in it, the second has not.
            if done == 2 and 1 in job.walls_s:
                self._starts_s.add(max(0.0, 2 * job.walls_s[1] - job.walls_s[2]))

    def ended(self, outcome: Outcome, *, spent_flops: float, trial: bool) -> None:
        """Note that a training is over; trials say how long the next one will take."""
        job = self._running.pop(outcome.key, None)
        if job is None:
            return
        self.spent_flops += spent_flops
        if trial and outcome.status == "complete":
            self._trials_s.add(self.in_full_s(self.now_s - job.began_s, job.share))
        elif trial and job.left_s:
            took_s = max(job.walls_s.values()) + job.left_s
            self._trials_s.add(self.in_full_s(took_s, job.share))

    def _in_part_s(self, share: float) -> float:
        """Return what a share of the length of the next trial takes, likewise."""
        start_s = min(self._training_start_s, self.trial_s)
        return start_s + share * (self.trial_s - start_s)

    # --- what fits ------------------------------------------------------------------------------

    @property
    def trial_s(self) -> float:
        """Expected seconds of the next trial: the mean of those before it and their sd."""
        fit_s = self._fits_s.mean
        if not self._trials_s:
            return self.trial.seconds + fit_s
        return self._trials_s.mean + self._trials_s.sd + fit_s

    def in_full_s(self, seconds: float, share: float) -> float:
        """Return what a training takes of which a share of the length took so long: it starts once."""
        start_s = min(self._training_start_s, seconds)
        return start_s + (seconds - start_s) / share

    def admits_trial(
        self, share: float = 1.0, *, known_s: float | None = None, closing: bool = False
    ) -> bool:
        """Whether another trial fits, with the finals after it.

        Args:
            share: of the full length.
            known_s: seconds that one of the full length takes with this network; None: what others took.
            closing: whether it is among the last ones, after which the finals have the least they need: what
                was not trained in full can't win them, however much is left for them.
        """
        if self.time_s is not None:
            took_s = self._in_part_s(share) if known_s is None else share * known_s
            needed_s = took_s + self._reserve_s(_kept(share, closing=closing)) + self.closing_s
            if self.elapsed_s + needed_s > self.time_s:
                return False
        if self.flops is not None:
            reserve = self._reserve_flops(self.flops, _kept(share, closing=closing))
            needed = share * self.trial.flops + reserve
            return self._committed + needed <= self.flops
        return True

    def admits_final(self, load: Load) -> bool:
        """Whether a final that takes so much fits."""
        end_s = self.elapsed_s + load.seconds + self.closing_s
        late = 1 + _LATE if self.no_result else 1
        if self.time_s is not None and end_s > late * self.time_s:
            return False
        return self.flops is None or self._committed + load.flops <= self.flops

    def cuts_trial(self, report: EpochReport, *, closing: bool = False) -> bool:
        """Whether a trial must end here: its rest would take too much of the finals' time, or FLOPs.

        Args:
            report: of how far it is.
            closing: whether it is among the last trainings (see `admits_trial`).
        """
        kept = _kept(1.0, closing=closing)
        # Nobody has asked whether a second try fits.
        flops = self.flops if report.before else None
        if flops is not None and self._committed + self._reserve_flops(flops, kept) > flops:
            return True
        if self.time_s is None:
            return False
        return self._too_late(report, (1 - _SPARE) * self._reserve_s(kept) + self.closing_s)

    def cuts_final(self, report: EpochReport) -> bool:
        """Whether a final must end here: its rest would not fit, and there is a result without it."""
        if self.no_result:
            return False
        again = report.before and self.flops is not None and self._committed > self.flops
        return bool(again) or self._too_late(report, self.closing_s)

    def least(self) -> Least:
        """Return the smallest bounds under which one trial and a final of each finalist fit."""
        seconds, flops = None, None
        if self.time_s is not None:
            before_s = self.elapsed_s + self.trial_s + self.closing_s
            seconds = _ENOUGH * (before_s + min(self.finals.seconds, before_s))
        if self.flops is not None:
            flops = self.trial.flops + min(self.finals.flops, self.trial.flops)
        return Least(seconds, flops)

    @property
    def _committed(self) -> float:
        return self.spent_flops + sum(job.load.flops for job in self._running.values())

    def _reserve_s(self, kept: Callable[..., float]) -> float:
        assert self.time_s is not None
        # The finals turn out as much slower or faster than forecast as the trials did, rather slower.
        spread = self._trials_s.sd
        slowness = self._slowness + (spread / self.trial.seconds if self.trial.seconds else 0.0)
        one_s = slowness * self.trial.seconds
        return kept(slowness * self.finals.seconds, one=one_s, bound=self.time_s)

    def _reserve_flops(self, bound: float, kept: Callable[..., float]) -> float:
        return kept(self.finals.flops, one=self.trial.flops, bound=bound)

    def _too_late(self, report: EpochReport, after_s: float) -> bool:
        job = self._running.get(report.key)
        if self.time_s is None or job is None or report.outdated:
            return False
        return job.left_s > 0 and self.elapsed_s + job.left_s + after_s > (1 + _LATE) * self.time_s

    def _epoch_s(self, job: _Job, report: EpochReport) -> float:
        """Return the seconds that each epoch after a report is expected to take."""
        done = report.before + report.epoch
        begun, wall_s = next(iter(job.walls_s.items()))
        if done > begun:
            return (report.wall_s - wall_s) / (done - begun)
        # What comes before the first step is no epoch, and one epoch alone may have been disturbed.
        return _SURELY * max(0.0, report.wall_s - self._training_start_s) / done
