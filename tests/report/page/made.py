"""A study's material made by hand: every kind of network, names that would be markup if they were let."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from archsearch.archive.design import Departure
from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.orders import Spending
from archsearch.readings.plot import Bar, Profile
from archsearch.recipes.named import find_recipe
from archsearch.report.analysis import Curve
from archsearch.report.page.confusion import Answers
from archsearch.report.page.influence import Influence, RuleEffect
from archsearch.report.page.material import Material
from archsearch.settings import RunSettings
from archsearch.statistics.score import Score
from archsearch.statistics.verdict import Verdict
from archsearch.strategy.samplers.gp import Expected

NASTY = "</script><script>document.title='taken'</script><b>\"it's\" & $x$"
"""A label that breaks out of JSON, of an attribute and of a formula, where it is not told to be text."""


def row(name: str, **changes: Any) -> Row:
    made = Row(
        rank=1, name=name, label=f"net {name}", role="candidate", origin="search",
        knobs={"depth1": 2, "cardinality": 4}, flops=19_000_000, fill=0.95, params=100_000,
        activation_bytes=70_000, epochs=3, val_accuracy=0.8, status="complete", graph=f"hash-{name}",
        findings=(), trainings=1, train_flops=10**11,
    )  # fmt: skip
    return replace(made, **changes)


def score(mean: float, sd: float | None = 0.01, n: int = 2) -> Score:
    return Score(mean=mean, sd=sd, n=n)


def rows() -> tuple[Row, ...]:
    return (
        row("trial-0001", label=NASTY, final_val=score(0.9), test=score(0.88, 0.02), winner=True,
            expected=0.9, trainings=3),
        row("trial-0000", rank=2, role="baseline", origin="matched", params=300_000,
            final_val=score(0.85), test=score(0.8, None, 1), trainings=3),
        row("resnet20_cifar", rank=3, role="baseline", origin="published", flops=120_800_000, knobs={},
            val_accuracy=None, final_val=score(0.95, None, 1)),
        row("trial-0004", rank=4, val_accuracy=0.7, flops=18_500_000, params=900_000,
            findings=(Departure("resnext.groups", f"48 channels in 5 groups {NASTY}"),)),
        row("trial-0002", rank=5, val_accuracy=0.5, status="pruned", reason=f"hopeless {NASTY}"),
        row("trial-0003", rank=None, val_accuracy=None, status="failed", reason="NaN"),
    )  # fmt: skip


def result(study: str = "study-one", **changes: Any) -> StudyResult:
    made = StudyResult(
        study=study, status="complete",
        settings=RunSettings(space="vgg", flops="20M", epochs=3, recipe_parts={"batch": 64}),
        dataset=DatasetFacts(
            name=f"images {NASTY}", source="digits", digest="abc", input=(32, 32, 1),
            classes=("one", "two"), splits={"train": 100, "val": 40, "test": 50},
        ),
        rows=rows(),
        verdict=Verdict(
            winner=NASTY, rival="net trial-0000", baseline=True, gain=5.0, probability=0.97, n=3,
            rival_n=3, words=f"{NASTY} is better than the matched net trial-0000 by 5.0 points",
            cautions=("undertrained: more --epochs",),
        ),
        spending=Spending(search=(4 * 10**11, 2 * 10**11), finals=10**11, baselines=10**11, measuring=10),
        wall_s=100.0, train_s=80.0, created="2026-01-01T00:00:00+00:00", recipe=find_recipe("default"),
    )  # fmt: skip
    return replace(made, **changes)


def curve(name: str, label: str, seed: int, *accuracy: float, origin: str = "search") -> Curve:
    epochs = tuple(range(1, len(accuracy) + 1))
    return Curve(name=name, label=label, origin=origin, seed=seed, epochs=epochs, accuracy=accuracy)


def profile(name: str, *flops: int) -> Profile:
    bars = tuple(
        Bar(f"stage{n}", 1000 * n, 10 * n, count) for n, count in enumerate(flops, start=1)
    )
    return Profile(name, bars, sum(b.activation_bytes for b in bars), 60, sum(flops))


def answers() -> Answers:
    """Sixty answers, most of them right; class names that would be markup."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    scores = rng.normal(size=(60, 3)) + 2.0 * np.eye(3)[labels]
    powers = np.exp(scores)
    return Answers(
        key="final-0001-seed1", classes=("one", "two", NASTY), numbers=np.arange(60), of=60,
        labels=labels,
        probabilities=powers / powers.sum(1, keepdims=True),
        images=rng.integers(0, 256, (60, 8, 8, 1), np.uint8),
    )  # fmt: skip


def material(study: str = "study-one", **changes: Any) -> Material:
    made = Material(
        home=Path("mlruns"),
        result=result(study),
        numbers={f"trial-000{n}": n for n in range(5)},
        curves=(
            curve("trial-0001", NASTY, 1, 0.5, 0.7, 0.9),
            curve("trial-0001", NASTY, 2, 0.4, 0.6, 0.9),
            curve("trial-0000", "net trial-0000", 1, 0.3, 0.5, 0.8, origin="matched"),
        ),
        profiles={
            "trial-0001": profile(NASTY, 5, 10, 4),
            "trial-0000": profile("net", 6, 9),
        },
        answers=answers(),
        influence=Influence(
            knobs={"depth1": 0.7, "cardinality": 0.3},
            rules={"resnext.groups": 1.0},
            effects=(RuleEffect(rule="resnext.groups", follow=score(0.8), depart=None),),
            dependence={
                "depth1": [Expected(1, 0.7, 0.01), Expected(2, 0.8, 0.02)],
                "cardinality": [Expected(2, 0.75, 0.01), Expected(4, 0.8, 0.01)],
            },
            tried=4,
        ),
    )
    return replace(made, **changes)
