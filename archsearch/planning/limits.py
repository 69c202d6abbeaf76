"""The bounds of a run, put together from what was asked for, what is expected and what has been spent."""

from typing import Protocol

from archsearch.archive.leaderboard import spent_flops
from archsearch.archive.store import StudyStore
from archsearch.errors import UserError
from archsearch.planning.forecast import Forecast
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds, Load
from archsearch.units import counted, format_count, format_time, parse_duration, parse_flops


class Clock(Protocol):
    """Seconds, and when the run began on it."""

    began_s: float

    def __call__(self) -> float:
        """Return the time now."""
        ...


def bounds_of(
    settings: RunSettings, found: Forecast, store: StudyStore | None, clock: Clock
) -> Bounds:
    """Return the account of a run's bounds; what a resumed study has spent is counted in.

    Its time counts since it was given the bound it has now.

    Args:
        settings: what is asked for.
        found: what is expected.
        store: the study that is gone on with; None: a new one.
        clock: the run's.

    Raises:
        UserError: a new study whose bounds have no room for one trial and its final.
    """
    bounds = _asked_for(settings, found, clock)
    if store is not None:
        facts = store.facts
        since_s = facts.extension.wall_s if facts.extension else 0.0
        bounds.began_s -= facts.wall_s - since_s
        bounds.spent_flops = spent_flops(store)
    elif found.network:
        _check_training(bounds, found)
    elif not bounds.admits_trial():
        raise UserError(_too_little(bounds))
    return bounds


def _check_training(bounds: Bounds, found: Forecast) -> None:
    """Refuse a bound in which not even one full training fits, as far as that is known."""
    training = Load(found.trial_s or 0.0, found.trial_flops)
    if not bounds.admits_final(training):
        least_s = 1.15 * (bounds.elapsed_s + training.seconds + bounds.closing_s)
        raise UserError(
            f"{bounds.text} is too little for a training of {counted(found.epochs, 'epoch')}: give at "
            f"least --max-time {format_time(least_s)}, or fewer --epochs"
        )


def _asked_for(settings: RunSettings, found: Forecast, clock: Clock) -> Bounds:
    texts = []
    if settings.max_time is not None:
        texts.append(f"--max-time {settings.max_time}")
    if settings.search_flops is not None:
        texts.append(f"--search-flops {settings.search_flops}")
    return Bounds(
        time_s=None if settings.max_time is None else parse_duration(settings.max_time),
        flops=None if settings.search_flops is None else parse_flops(settings.search_flops),
        text=" and ".join(texts),
        began_s=clock.began_s,
        now_s=clock(),
        trial=Load(found.trial_s or 0.0, found.trial_flops),
        finals=Load(found.finals_s or 0.0, found.finals_flops),
        export=settings.export,
        start_s=found.pace.start_s if found.pace else 0.0,
        process_s=found.pace.process_s if found.pace else 0.0,
        measured=found.measured,
    )


def _too_little(bounds: Bounds) -> str:
    """Say what the bounds would have to be."""
    least = bounds.least()
    needs = []
    if least.seconds is not None:
        needs.append(f"--max-time {format_time(least.seconds)}")
    if least.flops is not None:
        needs.append(f"--search-flops {format_count(1.01 * least.flops)}")
    return (
        f"{bounds.text} is too little for one trial and its final: give at least "
        f"{' and '.join(needs)}, or fewer --epochs"
    )
