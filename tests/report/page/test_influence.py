"""Knobs and rules are judged by what the trials of a study came to."""

from dataclasses import replace

import pytest

from archsearch.archive.design import Design
from archsearch.archive.facts import DatasetFacts, FullTraining, StudyFacts
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order, Training, Trial
from archsearch.report.page.influence import Influence, influence_of, knobs_and_rules
from archsearch.settings import RunSettings
from archsearch.space.registry import find_space
from archsearch.study.catalogue import request_of
from archsearch.training.job import Outcome
from tests.report.page.made import material

RULE = "channel-doubling"
FACTS = StudyFacts(
    settings=RunSettings(space="vgg", flops="20M", relax=RULE),
    dataset=DatasetFacts(name="digits", input=(32, 32, 1), classes=tuple("0123456789")),
)  # fmt: skip


def training(design: Design, accuracy: float, *, rung: int = 0, status="complete") -> Training:
    key = JobKey("search", design.name, rung=rung)
    order = Order(key=key, design=design, length=Length(100 * 4**rung, 4**rung), seed=0, decision=0)
    return Training(
        order=order, outcome=Outcome(key=str(key), status=status, val_accuracy=accuracy)
    )


def trials(*accuracies: float, follows: tuple[bool, ...] = ()) -> list[Trial]:
    space = find_space("vgg")
    knobs = space.knobs(request_of(FACTS))
    classic = dict(space.classic_knobs(request_of(FACTS)))
    first = next(knob for knob in knobs if len(knob.values()) > 1)
    made = []
    for n, accuracy in enumerate(accuracies):
        values = first.values()
        setting = {**classic, first.name: values[n % len(values)]}
        obeys = (RULE,) if follows and follows[n] else ()
        name = trial_name(n)
        design = Design(name=name, label=name, origin="search", graph=name, flops=1, obeys=obeys)
        made.append(
            Trial(number=n, knobs=setting, design=design, trainings=(training(design, accuracy),))
        )
    return made


def test_a_freed_rule_is_judged_by_those_that_follow_it():
    follows = (True, True, True, False, False, False)
    found = influence_of(FACTS, trials(0.7, 0.8, 0.9, 0.5, 0.6, 0.7, follows=follows))
    (effect,) = found.effects
    assert effect.rule == RULE
    assert (effect.follow.mean, effect.follow.n) == (pytest.approx(0.8), 3)
    assert (effect.depart.mean, effect.depart.n) == (pytest.approx(0.6), 3)
    assert found.rules == {RULE: pytest.approx(1.0)}


def test_every_trial_counts_by_its_first_training():
    short = trials(0.5, 0.6, 0.7, 0.8, 0.9, 0.4)
    promoted = replace(
        short[4], trainings=(*short[4].trainings, training(short[4].design, 0.99, rung=1))
    )
    failed = replace(short[5], trainings=(training(short[5].design, 0.1, status="failed"),))
    alone = influence_of(FACTS, short[:5])
    longer = influence_of(FACTS, [*short[:4], promoted, failed])
    assert longer.knobs == alone.knobs != {}
    assert longer.tried == 5


def test_where_there_is_nothing_to_tell_nothing_is_told():
    assert influence_of(FACTS, []) == Influence()
    full = replace(FACTS, training=FullTraining())
    assert influence_of(full, trials(0.5, 0.6)) == Influence()
    gone = replace(FACTS, settings=RunSettings(space="not-installed", flops="20M"))
    assert influence_of(gone, trials(0.5, 0.6)) == Influence()
    assert knobs_and_rules(Influence()) is None


def test_charts_have_what_was_found():
    section = knobs_and_rules(material().influence)
    importance, effects, dependence = section.blocks
    assert [row[0].text for row in importance.numbers.rows] == [
        "depth1",
        "cardinality",
        "resnext.groups",
    ]
    assert importance.note.endswith("So few trials tell little.")
    assert [cell.text for cell in effects.rows[0]] == ["resnext.groups", "80.0 ± 1.0", "2", "", "0"]
    assert len(dependence.numbers.rows) == 4
