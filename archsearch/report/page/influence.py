"""What knobs and design rules do to accuracy: importances, and partial dependence of the search's model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from archsearch.archive.facts import StudyFacts
from archsearch.archive.orders import Trial
from archsearch.errors import ArchsearchError
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Section,
    axis,
    cells,
    percent,
    spec_of,
    tips,
)
from archsearch.space.knobs import ChoiceKnob
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.statistics.score import Score
from archsearch.strategy.importance import importances
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.gp import Expected, GpSampler
from archsearch.study.catalogue import request_of

_PANEL: Final = 190
"""Width of the panel of one knob, in pixels."""
_MOST_TRIALS: Final = 200
"""Trials that importances are from at most, spread evenly over the study: a forest of more takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleEffect:
    """Accuracies of the networks that follow a freed design rule, and of those that do not."""

    rule: str
    follow: Score | None
    depart: Score | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """What knobs and rules do to accuracy, as far as the trials tell.

    Attributes:
        knobs: share of what the knobs explain of the variance, by name (see `importances`).
        rules: likewise of following each freed rule.
        effects: of the freed rules.
        dependence: what the search's model expects of each value, by the knob's name.
        tried: trials that importances are from, of so many `ended` ones.
    """

    knobs: Mapping[str, float] = field(default_factory=dict)
    rules: Mapping[str, float] = field(default_factory=dict)
    effects: tuple[RuleEffect, ...] = ()
    dependence: Mapping[str, Sequence[Expected]] = field(default_factory=dict)
    tried: int = 0
    ended: int = 0


def influence_of(facts: StudyFacts, trials: Sequence[Trial]) -> Influence:
    """Return the influence of knobs and rules in a search; empty where its space is not installed."""
    if facts.training is not None or not trials:
        return Influence()
    try:
        space, request = find_space(str(facts.settings.space)), request_of(facts)
        knobs = space.knobs(request)
        choices = Choices(
            knobs=knobs,
            solve=lambda chosen: solve(space, chosen, request),
            classic=space.classic_knobs(request),
            trials=facts.settings.trials,
            seed=facts.settings.seed,
            val_images=facts.dataset.splits.get("val"),
        )
        known = Known(decision=len(trials), trials=tuple(trials), seed=facts.settings.seed)
        dependence = GpSampler(choices).dependence(known)
    except ArchsearchError:  # of another version, or a package that is gone
        return Influence()
    ended = [(trial, value) for trial in trials if (value := _accuracy(trial)) is not None]
    freed = sorted(facts.settings.relaxed())
    some = ended[:: -(-len(ended) // _MOST_TRIALS) or 1]
    return Influence(
        knobs=importances(knobs, [(trial.knobs, value) for trial, value in some]),
        rules=importances(
            [ChoiceKnob(rule, (False, True)) for rule in freed],
            [({rule: rule in t.design.obeys for rule in freed}, value) for t, value in some],
        ),
        effects=tuple(_effect(rule, ended) for rule in freed),
        dependence=dependence,
        tried=len(some),
        ended=len(ended),
    )


def _accuracy(trial: Trial) -> float | None:
    """Return the accuracy of a trial's first training, if it came to its end and learnt.

    A longer one that followed is another matter: only the best have one, and length is no knob.
    """
    outcome = trial.trainings[0].outcome
    return outcome.val_accuracy if outcome is not None and outcome.learnt else None


def _effect(rule: str, ended: Sequence[tuple[Trial, float]]) -> RuleEffect:
    follow = [value for trial, value in ended if rule in trial.design.obeys]
    depart = [value for trial, value in ended if rule not in trial.design.obeys]
    return RuleEffect(rule=rule, follow=Score.of(follow), depart=Score.of(depart))


def knobs_and_rules(found: Influence) -> Section | None:
    """Return the part about knobs and rules; None where nothing is told of them."""
    blocks: list[Any] = []
    if found.knobs or found.rules:
        blocks.append(_importance(found))
    if found.effects:
        blocks.append(_effects(found.effects))
    if found.dependence:
        blocks.append(_dependence(found.dependence))
    if not blocks:
        return None
    return Section(key="knobs", title="Knobs and rules", blocks=tuple(blocks))


def _importance(found: Influence) -> Chart:
    values: list[dict[str, Any]] = [
        {"what": name, "kind": kind, "share": round(share, 4)}
        for kind, shares in (("knob", found.knobs), ("design rule", found.rules))
        for name, share in shares.items()
    ]
    first = max(values, key=lambda one: one["share"])
    kind = {"field": "kind", "type": "nominal", "legend": {"orient": "top", "title": None}}
    return Chart(
        key="importance",
        title="Importance",
        summary=f"Which knob explains most of the differences in accuracy: {first['what']} leads.",
        spec=spec_of(
            values,
            height=26 * len(values),
            mark={"type": "bar"},
            encoding={
                "y": {"field": "what", "type": "nominal", "sort": "-x", "title": None},
                "x": axis("share", "share of the explained variance", axis={"format": "%"}, scale={
                    "zero": True}),
                "tooltip": tips(("what", "what"), ("kind", "kind"), ("share", "share", ".1%")),
                **({"color": kind} if found.rules else {}),
            },
        ),
        numbers=Numbers(
            title="Importance in numbers",
            heads=("knob or rule", "kind", ">share, %"),
            rows=tuple(
                cells(one["what"], one["kind"], percent(one["share"]))
                for one in values
            ),
        ),
        note=_method(found),
    )  # fmt: skip


def _method(found: Influence) -> str:
    """Say how importances come about, and from how many trials."""
    few = " So few trials tell little." if found.tried < 20 else ""
    some = f"{found.tried} of {found.ended:,} trials, spread evenly over the search"
    over = some if found.tried < found.ended else f"{found.tried} trials"
    return (
        f"Functional ANOVA (fANOVA) by a random forest over {over}, by the first "
        "training of each: the share of each knob alone. Knobs sum to 100 %, and so do freed "
        f"rules, which are judged by themselves.{few}"
    )


def _effects(effects: Sequence[RuleEffect]) -> Numbers:
    def told(score: Score | None) -> tuple[Cell, Cell]:
        if score is None:
            return Cell(""), Cell("0", 0)
        sd = "" if score.sd is None else f" ± {100 * score.sd:.1f}"
        return Cell(f"{100 * score.mean:.1f}{sd}", score.mean), Cell(str(score.n), score.n)

    return Numbers(
        title="Freed rules: validation accuracy of the networks that follow them, and of the others",
        heads=("rule", ">following, %", ">n following", ">departing, %", ">n departing"),
        rows=tuple(cells(one.rule, *told(one.follow), *told(one.depart)) for one in effects),
    )


def _dependence(found: Mapping[str, Sequence[Expected]]) -> Chart:
    values: list[dict[str, Any]] = [
        {
            "knob": name,
            "value": str(one.value),
            "place": place,
            "accuracy": round(100 * one.accuracy, 3),
            "low": round(100 * (one.accuracy - one.sd), 3),
            "high": round(100 * (one.accuracy + one.sd), 3),
        }
        for name, expected in found.items()
        for place, one in enumerate(expected)
    ]
    spans = {
        n: fmean(e.accuracy for e in es) - min(e.accuracy for e in es) for n, es in found.items()
    }
    return Chart(
        key="dependence",
        title="Partial dependence of the search's own model",
        summary=(
            f"Accuracy that a Gaussian process expects for each value of {len(found)} knobs; "
            f"{max(spans, key=lambda name: spans[name])} matters most to it."
        ),
        spec=_panels(values, list(found)),
        numbers=_expected(values),
        note=(
            "A network's other knobs stay as they are, and it is solved for the budget anew. The bars are "
            "the model's own standard deviation: where they are long, little has been tried."
        ),
        wide=True,
    )  # fmt: skip


def _expected(values: Sequence[dict[str, Any]]) -> Numbers:
    return Numbers(
        title="Partial dependence in numbers",
        heads=("knob", "value", ">expected accuracy, %", ">± sd"),
        rows=tuple(
            cells(
                one["knob"],
                one["value"],
                Cell(f"{one['accuracy']:.2f}", one["accuracy"]),
                Cell(f"{float(str(one['high'])) - float(str(one['accuracy'])):.2f}"),
            )
            for one in values
        ),
    )


def _panels(values: Sequence[dict[str, Any]], names: Sequence[str]) -> Any:
    x = {
        "field": "value",
        "type": "ordinal",
        "title": None,
        "sort": {"field": "place"},
        "axis": {"labelAngle": 0, "labelLimit": 70},
    }
    y = axis("accuracy", "expected accuracy, %")
    whole = spec_of(values)
    return {
        **{key: whole[key] for key in ("$schema", "config", "data")},
        "columns": 4,
        "facet": {"field": "knob", "type": "nominal", "title": None, "sort": list(names)},
        "resolve": {"scale": {"x": "independent"}},
        "spec": {
            "width": _PANEL,
            "height": 150,
            "encoding": {"x": x},
            "layer": [
                {
                    "mark": {"type": "rule", "color": "var(--soft)", "aria": False},
                    "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}},
                },
                {"mark": {"type": "line", "aria": False}, "encoding": {"y": y}},
                {
                    "mark": {"type": "point", "filled": True, "size": 50},
                    "encoding": {
                        "y": y,
                        "tooltip": tips(
                            ("knob", "knob"), ("value", "value"), ("accuracy", "accuracy, %", ".2f")
                        ),
                    },
                },
            ],
        },
    }
