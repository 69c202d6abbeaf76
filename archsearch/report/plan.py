"""The plan of a run, for the terminal: what it searches, what it costs, how long that takes."""

from archsearch.planning.forecast import Forecast
from archsearch.units import counted, format_count, format_duration, format_memory, format_size

_NAMES_ALL = 8
"""Knobs that are listed with their values; more are named only by their number."""


def plan_rows(found: Forecast) -> list[tuple[str, str]]:
    """Return the plan as (what, how much), in reading order."""
    return [
        *([("network", found.network)] if found.network else _searched(found)),
        ("images", _images(found)),
        ("training", _training(found)),
        ("machine", _machine(found)),
        ("memory", _memory(found)),
        ("time", _time(found)),
        ("runs", f"MLflow at {found.runs}" if found.runs else "MLflow, in mlflow.db of the home"),
        *(("note", note) for note in found.notes),
    ]


def _searched(found: Forecast) -> list[tuple[str, str]]:
    """Return what is searched."""
    return [
        ("space", f"{found.space}: {found.title}"),
        ("knobs", _knobs(found)),
        ("candidates", f"{found.distinct:,} distinct settings of the knobs"),
        ("budget", _budget(found)),
        *([("classics", _classics(found))] if found.classics else []),
        *([("latency", _latency(found.max_latency))] if found.max_latency else []),
    ]


def _classics(found: Forecast) -> str:
    count, classics = len(found.classics), ", ".join(dict.fromkeys(found.classics))
    what = classics if count == 1 or not found.slices else f"{count}, of each budget: {classics}"
    return f"{what}: trained in the finals, with every seed; no trial goes into them"


def plan_lines(found: Forecast) -> list[str]:
    """Return the plan as lines of text."""
    return [f"{what:<11}{text}" for what, text in plan_rows(found)]


def _knobs(found: Forecast) -> str:
    shown = list(found.knobs.items())[:_NAMES_ALL]
    text = "; ".join(f"{name} {values}" for name, values in shown)
    more = len(found.knobs) - len(shown)
    return f"{text}; and {more} more" if more else text


def _budget(found: Forecast) -> str:
    low, high = map(format_count, found.budget)
    first, last = map(format_count, found.reach)
    if found.slices:
        each = ", ".join(map(format_count, found.slices))
        return (
            f"{each} FLOPs an image, in turn, one model for all; the space reaches {first} to {last} on "
            "these images"
        )
    return f"{low} to {high} FLOPs an image; the space reaches {first} to {last} on these images"


def _latency(bound: str) -> str:
    return (
        f"at most {bound} for a call of one image, exported, on this machine; a network that takes longer "
        "is solved for fewer FLOPs"
    )


def _images(found: Forecast) -> str:
    counts = ", ".join(f"{count:,} {name}" for name, count in found.images.items())
    how = "as asked for; others are resized" if found.resized else "what the data suggests"
    return f"{format_size(found.input)} ({how}), {found.classes} classes, {counts}"


def _training(found: Forecast) -> str:
    epochs = counted(found.epochs, "epoch")
    if 1 < found.val_every < found.epochs and found.train_on == "train":
        epochs += f", validated every {found.val_every}"
    if found.network:
        return (
            f"{counted(found.finals, 'training')} from scratch on {found.train_on}, of {epochs} "
            f"({format_count(found.trial_flops)} FLOPs each)"
        )
    trials = found.trials if found.fit is None else found.fit
    full = f"{epochs} ({format_count(found.trial_flops)} FLOPs each)"
    flops = trials * (found.short_flops or found.trial_flops) + found.finals_flops
    flops += found.promotions * found.trial_flops
    if found.short is None:
        told = f"{_trials(found)} of {full}"
    else:
        again = f"about {found.promotions}" if found.promotions else "none"
        told = f"{_shorts(found, trials)}, {again} of these networks anew for {full}"
    if found.finals:
        splits = ", each seed validated on a split of its own" if found.folded else ""
        told += f", then {found.finals} from scratch{splits}"
    return f"{told}; {format_count(flops)} FLOPs at most"


def _shorts(found: Forecast, trials: int) -> str:
    """Return how many short trainings a search begins with, and how long they are."""
    assert found.short is not None
    about = "" if found.fit is None else "about "
    return (
        f"{about}{counted(trials, 'short training')} of {counted(found.short.epochs, 'epoch')} "
        f"({format_count(found.short_flops)} FLOPs each)"
    )


def _trials(found: Forecast) -> str:
    if found.fit is None:
        return counted(found.trials, "trial")
    return f"about {counted(min(found.fit, found.trials), 'trial')}"


def _machine(found: Forecast) -> str:
    compiled = ", compiled" if found.compiled and found.backend != "jax" else ""
    text = f"{found.shares}, {found.backend} ({found.backend_why}) in {found.precision}{compiled}"
    if not found.tried:
        return text
    others = "; ".join(
        f"{words} {speed:.2f}×" if speed else f"{words} given up"
        for words, speed in found.tried.items()
    )
    return f"{text}. Measured, by its speed: {others}"


def _memory(found: Forecast) -> str:
    total, held = found.memory["total_bytes"], found.memory["activation_bytes"]
    times = f", {found.workers} at a time" if found.workers > 1 else ""
    return (
        f"{format_memory(total)} a step of {_images_at_once(found)} ({format_memory(held)} of it activations)"
        f"{times}, besides the framework; {format_memory(found.free_bytes)} are free"
    )


def _images_at_once(found: Forecast) -> str:
    if found.microbatches == 1:
        return f"{found.batch} images"
    return f"{found.at_once} images, {found.microbatches} times for a batch of {found.batch}"


def _time(found: Forecast) -> str:
    if found.pace is None or found.total_s is None:
        return "not known"
    assert found.trial_s is not None
    assert found.search_s is not None
    assert found.finals_s is not None
    where = found.pace.device or "the processor"
    rate = f"{_rate(found.pace.trained_per_s)} images/s on {where}"
    parts = f"{format_duration(found.trial_s)} a trial at {rate}"
    if found.short_s is not None:
        parts = (
            f"{format_duration(found.short_s)} a short training and {format_duration(found.trial_s)} a full "
            f"one at {rate}"
        )
    if found.network:
        rest_s = found.total_s - found.finals_s
        return (
            f"about {format_duration(found.total_s)}: {format_duration(found.finals_s)} of training at "
            f"{rate}, {format_duration(rest_s)} of "
            "measuring and export"
        )
    if found.fit is not None and found.fit < found.trials:
        finals = ", with the finals" if found.finals else ""
        return f"{parts}; about {counted(found.fit, 'trial')} fit into the bounds{finals}"
    if not found.finals:
        return f"about {format_duration(found.total_s)} ({parts})"
    rest_s = found.total_s - found.search_s - found.finals_s
    return (
        f"about {format_duration(found.total_s)}: {format_duration(found.search_s)} of search, "
        f"{format_duration(found.finals_s)} of finals, {format_duration(rest_s)} of measuring and "
        f"export ({parts}); less where trials are pruned"
    )


def _rate(images_per_s: float) -> str:
    return f"{images_per_s:,.0f}" if images_per_s >= 10 else f"{images_per_s:.2g}"
