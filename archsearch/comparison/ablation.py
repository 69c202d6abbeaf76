"""What a design rule is worth: the same networks with the rule held and freed, at equal FLOPs.

Each rule has a study of pairs (`archsearch.strategy.samplers.paired`), which ends once its effect is known or
its bound is spent. What is read here is what the study's storage has.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Final

from archsearch.archive.facts import StudyFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.comparison.members import brought_to_its_end, check_all
from archsearch.comparison.spaces import accuracy_of
from archsearch.comparison.wanted import asked, given_by
from archsearch.errors import UserError
from archsearch.plugins import unknown
from archsearch.settings import RunSettings
from archsearch.space.registry import find_space
from archsearch.space.space import Space
from archsearch.space.union import UnionSpace
from archsearch.statistics.sequential import Effect, effect, needed
from archsearch.strategy.pairing import Member, breaks, differences, pairs_of
from archsearch.study.catalogue import request_of
from archsearch.study.events import Event
from archsearch.study.ports import Services

ALL: Final = "all"
PAIRS: Final = 30
"""Pairs at most where nothing is said."""
_BOUNDED: Final = 500
"""… where time or FLOPs bound them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What a rule is worth in a space.

    Attributes:
        effect: accuracy with the rule held less that with it freed, in points of a hundred.
        held_better, freed_better: pairs in which the network that keeps the rule was the better one, or that
            which breaks it; the others were equal.
        flops_ratio: FLOPs of the freed network over those of the held one, in the mean; None: without pairs.
        stalled: networks that learnt nothing: those that keep the rule, those that break it.
        lost: pairs that lack an accuracy.
        needed: pairs that would likely answer; None: it is answered, or there is no telling.
    """

    rule: str
    study: str
    effect: Effect
    held_better: int
    freed_better: int
    flops_ratio: float | None
    stalled: tuple[int, int]
    lost: int
    needed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablations:
    """Rules of a space, those that bring most first.

    Attributes:
        unfreed: for each rule that was not tried, why not.
    """

    space: str
    budget: str
    ablations: tuple[Ablation, ...]
    unfreed: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values; bounds that are not known yet are None."""
        found = asdict(self)
        for one, made in zip(self.ablations, found["ablations"], strict=True):
            made["effect"] = {
                key: value if isinstance(value, int) or math.isfinite(value or 0.0) else None
                for key, value in made["effect"].items()
            } | {"answer": one.effect.answer.value}
        return found


def ablate(
    rules: Sequence[str],
    *,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    pairs: int | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> Ablations:
    """Return what rules of a space are worth, each brought to its end in a study of its own.

    Args:
        rules: their names, or `all` that the space can free.
        flags: settings by name, `space` among them; those that are None were not given.
        environ: variables.
        pairs: of networks, at most, for each rule.
        on_event: told what happens.
        services: the outside world; None: the real one.

    Raises:
        UserError: something asked for does not work.
        Interrupted: the user stopped it; the same command goes on.
    """
    given = {key: value for key, value in flags.items() if value not in (None, {})}
    space = find_space(str(given["space"]))
    wanted, unfreed = _wanted(space, rules)
    studies = _studies(wanted, given, environ, pairs)
    unpayable = _unpayable(space, studies, on_event=on_event, services=services)
    unfreed |= _allowed(unpayable, rules=rules)
    found = [
        ablation_of(rule, brought_to_its_end(settings, on_event=on_event, services=services))
        for rule, settings in studies.items()
        if rule not in unpayable
    ]
    return Ablations(
        space=space.name,
        budget=next((str(s.flops) for s in studies.values()), ""),
        ablations=tuple(sorted(found, key=_place)),
        unfreed=unfreed,
    )


def _allowed(unpayable: dict[str, str], *, rules: Sequence[str]) -> dict[str, str]:
    """Return the rules that the budget breaks nowhere; one that was asked for by its name is refused."""
    if unpayable and ALL not in rules:
        raise UserError("; ".join(unpayable.values()))
    return unpayable


def _studies(
    wanted: Sequence[str], given: Mapping[str, Any], environ: Mapping[str, str], pairs: int | None
) -> dict[str, RunSettings]:
    """Return the settings of each rule's study."""
    if pairs is None:
        bounded = given_by(given, environ, "max_time", "search_flops")
        pairs = _BOUNDED if bounded else PAIRS
    return {
        rule: asked(
            {**given, "relax": rule, "sampler": "pairs", "trials": 2 * pairs},
            environ, purpose="ablate", studies=len(wanted),
        )
        for rule in wanted
    }  # fmt: skip


def ablation_of(rule: str, result: StudyResult) -> Ablation:
    """Return what a study of pairs says of its rule."""
    facts = StudyFacts(settings=result.settings, dataset=result.dataset)
    space = find_space(result.space)
    freed = space.keeping(request_of(facts))
    rows = {_number(row): row for row in result.rows if row.origin == "search"}
    members = (
        Member(
            number=number,
            knobs=row.knobs,
            keeps=rule in row.obeys,
            accuracy=accuracy_of(row, result.dataset),
        )
        for number, row in rows.items()
    )
    pairs = pairs_of(members, freed=freed)
    brought = differences(pairs)
    images = result.dataset.splits.get("val", 0)
    resolution = 100 / images if images else 0.0
    worth = effect(brought, margin=result.settings.margin, resolution=resolution)
    both = [(rows[one.number], rows[other.number]) for one, other in pairs]
    return Ablation(
        rule=rule,
        study=result.study,
        effect=worth,
        held_better=sum(points > 0 for points in brought),
        freed_better=sum(points < 0 for points in brought),
        flops_ratio=fmean(o.flops / h.flops for h, o in both if h.flops) if both else None,
        stalled=(sum(held.stalled for held, _ in both), sum(other.stalled for _, other in both)),
        lost=len(pairs) - len(brought),
        needed=needed(worth) if worth.answer.is_open else None,
    )


def _number(row: Row) -> int:
    return int(row.name.rpartition("-")[2])


def _place(one: Ablation) -> tuple[float, str]:
    return (-math.inf if one.effect.mean is None else -one.effect.mean, one.rule)


def _wanted(space: Space, rules: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the rules to free, and for those that cannot be freed why not."""
    if isinstance(space, UnionSpace):
        raise UserError(
            f"{space.name} has several families, and what frees a rule is another thing in each; "
            f"take one of them: {', '.join(space.families)}"
        )
    free = tuple(rule for rule in space.rules if rule in space.relaxable)
    if ALL in rules:
        return free, {rule: space.unfreed[rule] for rule in space.rules if rule not in free}
    for rule in rules:
        if rule in space.unfreed:
            raise UserError(f"{space.name} cannot free its rule {rule!r}: {space.unfreed[rule]}")
        if rule not in free:
            raise unknown(rule, (*free, ALL), f"rule that {space.name} can free")
    return tuple(dict.fromkeys(rules)), {}


def _unpayable(
    space: Space,
    studies: Mapping[str, RunSettings],
    *,
    on_event: Callable[[Event], None],
    services: Services | None,
) -> dict[str, str]:
    """Return the rules that nothing within the budget breaks, with a line on each; the others are checked."""
    problems = check_all(studies.values(), on_event=on_event, services=services)
    found = {}
    for rule, settings in studies.items():
        problem = problems.get(str(settings.name))
        if problem is None:  # its study is there already
            continue
        if not breaks(problem.knobs, space.keeping(problem.request)):
            found[rule] = (
                f"{rule}: nothing that {settings.flops} pays for breaks it; give more --flops"
            )
    return found
