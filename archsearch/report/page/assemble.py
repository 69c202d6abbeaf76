"""A page's parts in reading order: the verdict first, then what it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archsearch.report.analysis import Standing, standing_of
from archsearch.report.columns import freed_text, score_text, spent_text, stalled_text
from archsearch.report.page.anatomy import stage_by_stage
from archsearch.report.page.chart import Section
from archsearch.report.page.complexity import accuracy_and_cost
from archsearch.report.page.compute import compute_spent
from archsearch.report.page.confusion import mistakes
from archsearch.report.page.edf import error_distribution
from archsearch.report.page.influence import knobs_and_rules
from archsearch.report.page.learning import learning
from archsearch.report.page.material import Material
from archsearch.report.page.overview import sentence, side_by_side
from archsearch.report.page.provenance import provenance
from archsearch.report.page.roster import cut_short, details, networks, rule_check
from archsearch.report.page.slice_front import slice_front
from archsearch.report.page.thinned import thinned_text
from archsearch.units import counted, format_count, format_duration, format_ms, format_size


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPart:
    """A study on the page.

    Attributes:
        key: of its place on the page.
        verdict: what it shows, in a sentence.
        facts: what and how much.
        networks: all that is known of each, as JSON values.
    """

    key: str
    name: str
    verdict: str
    remarks: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    networks: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The page of some studies; `overview` compares them where there are several."""

    title: str
    overview: tuple[Section, ...]
    studies: tuple[StudyPart, ...]


def assemble(materials: Sequence[Material]) -> Page:
    """Return the page of some studies, in their order."""
    results = [material.result for material in materials]
    names = [result.study for result in results]
    return Page(
        title=names[0] if len(names) == 1 else f"{len(names)} studies side by side",
        overview=side_by_side(results) if len(names) > 1 else (),
        studies=tuple(_part(f"s{n}", one) for n, one in enumerate(materials, start=1)),
    )


def _part(key: str, material: Material) -> StudyPart:
    result = material.result
    standing = standing_of(result)
    edf = error_distribution([result])
    sections = (
        slice_front(result),
        accuracy_and_cost(material.shown),
        None if edf is None else Section(key="edf", title="Error distribution", blocks=(edf,)),
        learning(material),
        knobs_and_rules(material.influence),
        stage_by_stage(material),
        mistakes(material.answers),
        rule_check(result),
        networks(material.shown, of=result),
        cut_short(result),
        compute_spent(result),
        provenance(result),
    )
    return StudyPart(
        key=key,
        name=result.study,
        verdict=_verdict(material, standing),
        remarks=_remarks(material),
        facts=tuple((what, much) for what, much in _facts(material, standing) if much),
        sections=tuple(section for section in sections if section is not None),
        networks=details(material),
    )


def _verdict(material: Material, standing: Standing) -> str:
    if standing.verdict:
        return f"{standing.verdict}."
    if standing.best is None:
        return "No network has an accuracy yet."
    what = "trained in full" if material.result.training is not None else "is the best so far"
    return f"{standing.best} {what}; there is nothing to compare it with."


def _remarks(material: Material) -> tuple[str, ...]:
    """Return what speaks against believing the verdict, and what became of the study, a sentence each."""
    result = material.result
    found = [] if result.verdict is None else list(result.verdict.lines[1:])
    ended = f"It ended early: {result.ended}." if result.ended else ""
    if result.status != "complete":
        ended = f"The study is {result.status}: what is here may change. {ended}".strip()
    thin = thinned_text(material.shown.rows, result.rows)
    others = [thin, ended, *(f"{line}." for line in result.lost), sentence(stalled_text(result))]
    return tuple(line for line in (*found, *others, sentence(freed_text(result.settings))) if line)


def _facts(material: Material, standing: Standing) -> list[tuple[str, str]]:
    result, winner = material.result, standing
    searched = (
        f"{counted(len(result.rows), 'network')} of {result.space} under {result.budget} FLOPs"
    )
    images = f"{result.dataset.name}, {format_size(result.dataset.input)}"
    best = winner.best or ""
    if winner.best and winner.flops is not None:
        costs = f"{format_count(winner.flops)} FLOPs, {format_count(winner.params or 0)} parameters"
        best = f"{winner.best}: {costs}"
    ms = winner.latency_ms
    test = "" if winner.test is None else f"{score_text(winner.test)} % (n = {winner.test.n})"
    other = winner.baseline_test
    baseline = "" if other is None else f"{winner.baseline}: {score_text(other)} % (n = {other.n})"
    return [
        ("searched", "a full training" if result.training is not None else searched),
        ("data", images),
        ("winner" if result.winner else "best so far", best),
        ("test accuracy", test),
        ("matched baseline, test", baseline),
        ("latency", "" if ms is None else f"{format_ms(ms)} ms a call of one image"),
        ("compute", spent_text(result).removeprefix("spent: ")),
        ("took", format_duration(result.wall_s)),
        ("begun", result.created.replace("T", " ")[:16]),
    ]  # fmt: skip
