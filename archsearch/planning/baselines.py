"""Which classic networks a study is compared with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import entry_points

from archsearch.archive.design import Design, design_of
from archsearch.checks import BASELINE_WORDS
from archsearch.errors import GraphError, UserError
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Resize
from archsearch.settings import RunSettings
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.registry import BASELINES, find_baseline
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.space.union import UnionSpace
from archsearch.units import budget_text, format_size


@dataclass(frozen=True, slots=True)
class Classic:
    """A matched baseline that is no trial.

    Attributes:
        name: in its study.
        candidate: the network, solved.
        budget: FLOPs that it was solved to fill, one of several; None: there is one.
    """

    name: str
    candidate: Candidate
    budget: int | None = None

    @property
    def design(self) -> Design:
        """The facts of the network."""
        return replace(
            design_of(self.candidate, name=self.name, origin="matched"), budget=self.budget
        )


def wants_matched(settings: RunSettings) -> bool:
    """Whether the space's classic, scaled to the budget, is trained: as the first trial, where it is one."""
    return bool({"matched", "all"} & set(settings.baseline_names()))


def classics_of(
    settings: RunSettings, space: Space, requests: Sequence[Request]
) -> dict[str, Classic]:
    """Return the classics that are trained in the finals, by name: of each family named, at each budget.

    None where there is one classic, which is the first trial: several would leave few trials to search. And
    none without finals of candidates, which they are to be compared with.

    Args:
        settings: say whether there are to be any.
        space: that is searched.
        requests: of each budget.
    """
    families = isinstance(space, UnionSpace) and space.compared
    several = families or len(requests) > 1
    if not (several and settings.finalists and wants_matched(settings)):
        return {}
    found = {}
    for request in requests:
        budget = request.budget.high if len(requests) > 1 else None
        suffix = [] if budget is None else [budget_text(budget)]
        within = space.within(request) if isinstance(space, UnionSpace) and families else None
        for member, asked in (within or {space: request}).items():
            name = "-".join(["classic", *([member.name] if families else []), *suffix])
            candidate = solve(member, member.classic_knobs(asked), asked)
            found[name] = Classic(name, candidate, budget)
    return found


def named_baselines(settings: RunSettings) -> list[Baseline]:
    """Return the published networks asked for by name.

    Raises:
        UserError: a name is unknown.
    """
    return [find_baseline(n) for n in settings.baseline_names() if n not in BASELINE_WORDS]


def published_networks(settings: RunSettings, request: Request) -> dict[str, Graph]:
    """Return the published networks asked for, for the study's images and classes.

    Images too small for a network are scaled up to its smallest valid size, inside the network.

    Raises:
        UserError: a name is unknown.
    """
    found = named_baselines(settings)
    if {"published", "all"} & set(settings.baseline_names()):
        found = family_of(str(settings.space), request)
    graphs = {}
    for baseline in found:
        try:
            graphs[baseline.name] = baseline.build(request.input, request.classes, resize=True)
        except GraphError as error:
            raise UserError(f"baseline {baseline.name} does not fit the data: {error}") from error
    return graphs


def scaled_up(graphs: Mapping[str, Graph]) -> tuple[str, ...]:
    """Return a line for each network that scales its images up: to what size."""
    return tuple(
        f"baseline {name}: images are scaled up from {format_size(graph.input)} to "
        f"{format_size(graph.nodes[1].op.size)}, the smallest it takes"
        for name, graph in graphs.items()
        if isinstance(graph.nodes[1].op, Resize)
    )


def family_of(space: str, request: Request) -> list[Baseline]:
    """Return a space's own published networks: of its forms, those for images closest in size.

    A space and its published networks share an entry point's name.
    """
    members: list[Baseline] = []
    for point in entry_points(group=BASELINES, name=space):
        members += point.load().values()
    side = min(request.input[:2])
    able = [baseline for baseline in members if baseline.smallest <= side]
    if not able:
        return []

    def distance(baseline: Baseline) -> float:
        return abs(math.log(min(baseline.input[:2]) / side))

    least = min(map(distance, able))
    return [baseline for baseline in able if distance(baseline) == least]
