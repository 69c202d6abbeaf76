"""A study's values as the storage holds them: JSON, written and read here and nowhere else.

Format 6. Earlier ones are read all the same, and a study that goes on is written in format 6. Format 1, of
version 0.1, lacks the images a training saw, the findings of the rule check and the numbers of decisions.
Format 2 had searches alone, format 3 was that of full trainings; both lack the whole recipe and trainings
that stalled. Format 4 had one budget a study and learnt from none,
format 5 learnt of accuracies alone, and did not say on what it trained.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from archsearch.archive.design import Departure, Design, LatencyFit, Solved
from archsearch.archive.facts import (
    DatasetFacts,
    Durations,
    Extension,
    FullTraining,
    Learnt,
    Platform,
    StudyFacts,
)
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order, Training, of_last_try
from archsearch.exchange.latency import Latency
from archsearch.recipes.kept import read_recipe, values_of
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings
from archsearch.space.knobs import Knobs
from archsearch.statistics.score import Score
from archsearch.training.job import Outcome

FORMAT: Final = 6
READABLE: Final = (1, 2, 3, 4, 5, 6)
_BEFORE: Final = {"fidelity": "median", "sampler": "tpe", "folds": "none"}
"""Settings of a search that was begun before there were these, where a default says another thing."""
FINAL: Final = "final:"
"""Study attributes of this beginning hold the outcome of a finalist's training, by key."""
LATENCY: Final = "latency:"
"""Study attributes of this beginning hold what came of measuring a finalist's network, by its name."""
TRAINING: Final = "training:"
"""Study attributes of this beginning hold a trial's further trainings, by key.

Optuna lets nobody write to a trial that has ended.
"""

PLACE: Final = ("home", "storage", "tracking_uri", "export", "engine", "address")
"""Settings that say where results go, not what they are; a study does not keep them."""

OUTCOME: Final = "outcome"
"""The attribute of a trial that holds how its first training ended."""
NETWORK: Final = ("name", "label", "origin", "graph", "flops", "params", "activation_bytes", "fill")
"""Attributes that every trial has, of any format."""
_CHANGING: Final = {
    "status": "status", "wall_s": "wall_s", "measured_flops": "measured_flops", "ended": "ended",
    "full": "full", "left": "finals_left",
    "exports": "exports", "extension": "more_time", "published": "published",
    "untold": "untold", "trained": "trained", "recipe": "recipe",
}  # fmt: skip
"""Facts that change while a study goes on, and the attribute that holds each."""
_MADE_WITH: Final = ("training", "learnt", "platform", "durations")
"""Facts that stay as a study was made with them, each a value of fields, where it has one."""


# --- a study's own facts --------------------------------------------------------------------------


def kept_settings(settings: RunSettings) -> dict[str, Any]:
    """Return what is kept of the settings."""
    return {key: value for key, value in settings.to_dict().items() if key not in PLACE}


def mark_of(facts: StudyFacts) -> dict[str, Any]:
    """Return what is written of a study as it is made."""
    data = asdict(facts.dataset)
    mark = {
        "format": FORMAT,
        "settings": kept_settings(facts.settings),
        "dataset": data,
        "common_share": data.pop("common_share"),  # earlier versions read the others alone
        "created": facts.created,
    }
    if facts.recipe is not None:
        mark["recipe"] = values_of(facts.recipe)
    if facts.room_bytes is not None:
        mark["room_bytes"] = facts.room_bytes
    for name in _MADE_WITH:
        if (value := getattr(facts, name)) is not None:
            mark[name] = asdict(value)
    return mark


def changes(before: StudyFacts, after: StudyFacts) -> dict[str, Any]:
    """Return the attributes in which two readings of one study differ."""
    return {
        attribute: _written(getattr(after, name))
        for name, attribute in _CHANGING.items()
        if getattr(before, name) != getattr(after, name)
    }


def facts_of(attributes: Mapping[str, Any]) -> StudyFacts:
    """Read a study's facts from its attributes."""
    changing = {
        name: attributes[attribute]
        for name, attribute in _CHANGING.items()
        if attributes.get(attribute) is not None
    }
    if "published" in changing:
        values = changing["published"].values()
        changing["published"] = tuple(design_of_record(value) for value in values)
    if "extension" in changing:
        changing["extension"] = Extension(**changing["extension"])
    if "recipe" in changing:
        changing["recipe"] = read_recipe(changing["recipe"])
    data = dict(attributes["dataset"])
    for name in ("input", "classes"):
        if name in data:
            data[name] = tuple(data[name])
    settings = _settings(attributes["settings"])
    if "extension" in changing:
        settings = changing["extension"].of(settings)
    return StudyFacts(
        settings=settings,
        dataset=DatasetFacts(**data, common_share=attributes.get("common_share")),
        created=attributes.get("created", ""),
        room_bytes=attributes.get("room_bytes"),
        training=_training(attributes.get("training")),
        learnt=Learnt(**attributes["learnt"]) if "learnt" in attributes else None,
        platform=Platform(**attributes["platform"]) if "platform" in attributes else None,
        durations=Durations(**attributes["durations"]) if "durations" in attributes else None,
        **changing,
    )


def _settings(record: Mapping[str, Any]) -> RunSettings:
    if "network" in record:
        return RunSettings.from_dict(record)
    return RunSettings.from_dict({**_BEFORE, **record})


def _training(record: Mapping[str, Any] | None) -> FullTraining | None:
    if record is None:
        return None
    val, test, holds = record["val"], record["test"], record["holds"]
    return FullTraining(
        study=record["study"],
        epochs=record["epochs"],
        val=None if val is None else Score(**val),
        test=None if test is None else Score(**test),
        holds=None if holds is None else tuple(holds),
    )


def _written(value: Any) -> Any:
    if isinstance(value, Extension):
        return asdict(value)
    if isinstance(value, Recipe):
        return values_of(value)
    if isinstance(value, tuple):
        return {design.name: design_record(design) for design in value}
    return dict(value) if isinstance(value, Mapping) else value


# --- networks -------------------------------------------------------------------------------------


def design_record(design: Design) -> dict[str, Any]:
    """Return a network's facts as JSON values."""
    found: dict[str, Any] = {name: getattr(design, name) for name in NETWORK}
    found["role"] = design.role
    if design.findings is not None:
        found["findings"] = [asdict(finding) for finding in design.findings]
    if design.obeys:
        found["obeys"] = list(design.obeys)
    if design.solved is not None:
        solved = design.solved
        found |= {"base_width": solved.base_width, "multiple": solved.multiple}
        found |= {"widths": dict(solved.widths), "space_notes": dict(solved.notes)}
    if design.latency_fit is not None:
        found["latency_fit"] = asdict(design.latency_fit)
        found["budget_graph"] = design.budget_graph
    if design.budget is not None:
        found["budget"] = design.budget
    return found


def design_of_record(record: Mapping[str, Any]) -> Design:
    """Read what `design_record` gave, or a trial's attributes, which hold it among others."""
    findings, fit = record.get("findings"), record.get("latency_fit")
    solved = None
    if "widths" in record:
        solved = Solved(
            base_width=record["base_width"],
            multiple=record["multiple"],
            widths=record["widths"],
            notes=record.get("space_notes", {}),
        )
    return Design(
        **{name: record[name] for name in NETWORK},
        findings=None if findings is None else tuple(Departure(**entry) for entry in findings),
        obeys=tuple(record.get("obeys", ())),
        solved=solved,
        latency_fit=None if fit is None else _latency_fit(fit),
        budget_graph=record.get("budget_graph"),
        budget=record.get("budget"),
    )


def _latency_fit(record: Mapping[str, Any]) -> LatencyFit:
    measured = tuple((int(flops), float(ms)) for flops, ms in record["measured"])
    return LatencyFit(**{**record, "measured": measured})


# --- trainings ------------------------------------------------------------------------------------


def first_record(order: Order, *, skipped: int, outcome: Outcome | None = None) -> dict[str, Any]:
    """Return what is written of a trial as it begins: its network and its first training."""
    ended = {} if outcome is None else {OUTCOME: outcome_record(outcome)}
    return {
        **ended,
        **design_record(order.design),
        "duplicates_skipped": skipped,
        "images": order.length.images,
        "planned_epochs": order.length.epochs,
        "seed": order.seed,
        "decision": order.decision,
    }


def first_training(
    number: int, knobs: Knobs, reports: Mapping[int, float], record: Mapping[str, Any]
) -> Training:
    """Read a trial's first training from its attributes."""
    design, ended = design_of_record(record), record.get(OUTCOME)
    outcome = None if ended is None else outcome_of(ended)
    return Training(
        order=Order(
            key=JobKey("search", design.name),
            design=design,
            knobs=knobs,
            length=Length(record.get("images", 0), record.get("planned_epochs", 0)),
            seed=record.get("seed", 0),
            decision=record.get("decision", number),
        ),
        reports=of_last_try(reports, outcome),
        outcome=outcome,
    )


def training_record(training: Training) -> dict[str, Any]:
    """Return one of a trial's further trainings as JSON values."""
    order, outcome = training.order, training.outcome
    return {
        "images": order.length.images,
        "planned_epochs": order.length.epochs,
        "seed": order.seed,
        "decision": order.decision,
        "reports": {str(epoch): value for epoch, value in training.reports.items()},
        "outcome": None if outcome is None else outcome_record(outcome),
    }


def training_of(key: JobKey, first: Order, record: Mapping[str, Any]) -> Training:
    """Read what `training_record` gave; `first` is the trial's first order."""
    ended = record["outcome"]
    outcome = None if ended is None else outcome_of(ended)
    reports = {int(epoch): value for epoch, value in record["reports"].items()}
    return Training(
        order=Order(
            key=key,
            design=first.design,
            knobs=first.knobs,
            length=Length(record["images"], record["planned_epochs"]),
            seed=record["seed"],
            decision=record["decision"],
        ),
        reports=of_last_try(reports, outcome),
        outcome=outcome,
    )


def outcome_record(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON values; earlier versions, which took all batches whole, read those."""
    record = asdict(outcome)
    if outcome.microbatches == 1:
        del record["microbatches"]
    return record


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """Read what `outcome_record` gave; format 1 counted no images, but said how many a second."""
    # It said of the worker what a cause says now, and means nothing once a training has ended.
    record = {name: value for name, value in record.items() if name != "broken"}
    if "images" in record:
        return Outcome(**record)
    return Outcome(**record, images=round(record["images_per_s"] * record["train_s"]))


def latency_record(found: Latency | str) -> dict[str, Any]:
    """Return a network's latency, or why there is none, as JSON values."""
    return {"failed": found} if isinstance(found, str) else asdict(found)


def latency_of(record: Mapping[str, Any]) -> Latency | str:
    """Read what `latency_record` gave."""
    return str(record["failed"]) if "failed" in record else Latency(**record)
