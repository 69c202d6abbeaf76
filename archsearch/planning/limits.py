"""The bounds of a run, put together from what was asked for, what is expected and what has been spent."""

from archsearch.archive.leaderboard import spent_flops
from archsearch.archive.store import StudyStore
from archsearch.errors import UserError
from archsearch.planning.forecast import Forecast
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds, Load
from archsearch.units import format_count, format_time, parse_duration, parse_flops


def bounds_of(settings: RunSettings, found: Forecast, *, began_s: float, now_s: float) -> Bounds:
    """Return the account of the bounds that settings ask for.

    Args:
        settings: what is asked for.
        found: what is expected.
        began_s: when the run began.
        now_s: the time now, on the same clock.
    """
    texts = []
    if settings.max_time is not None:
        texts.append(f"--max-time {settings.max_time}")
    if settings.search_flops is not None:
        texts.append(f"--search-flops {settings.search_flops}")
    return Bounds(
        time_s=None if settings.max_time is None else parse_duration(settings.max_time),
        flops=None if settings.search_flops is None else parse_flops(settings.search_flops),
        text=" and ".join(texts),
        began_s=began_s,
        now_s=now_s,
        trial=Load(found.trial_s or 0.0, found.trial_flops),
        finals=Load(found.finals_s or 0.0, found.finals_flops),
        export=settings.export,
        start_s=found.pace.start_s if found.pace else 0.0,
        process_s=found.pace.process_s if found.pace else 0.0,
        measured=found.measured,
    )


def checked_bounds(bounds: Bounds, store: StudyStore | None) -> Bounds:
    """Return the bounds with what a resumed study has spent counted in; its time since it was given them.

    Raises:
        UserError: a new study whose bounds have no room for one trial and its final.
    """
    if store is not None:
        facts = store.facts
        since_s = facts.more_time.wall_s if facts.more_time else 0.0
        bounds.began_s -= facts.wall_s - since_s
        bounds.spent_flops = spent_flops(store)
    elif not bounds.admits_trial():
        needs = [
            f"--max-time {format_time(value)}"
            if key == "max_time"
            else f"--search-flops {format_count(1.01 * value)}"
            for key, value in bounds.least().items()
        ]
        raise UserError(
            f"{bounds.text} is too little for one trial and its final: give at least "
            f"{' and '.join(needs)}, or fewer --epochs"
        )
    return bounds
