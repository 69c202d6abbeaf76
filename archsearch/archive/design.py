"""A network's facts, made once from a candidate and carried to wherever they are needed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from archsearch.ir.codec import content_hash
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.space.budget import Request
from archsearch.space.solve import Candidate
from archsearch.space.space import Space
from archsearch.space.standing import find_breaches
from archsearch.units import training_flops

Origin: TypeAlias = Literal["search", "matched", "published", "given"]
"""Proposed by the sampler; the space's classic scaled to the budget; a network as published; one of the
user's own, from a file."""
Role: TypeAlias = Literal["candidate", "baseline"]


@dataclass(frozen=True, slots=True)
class Departure:
    """A place where a network departs from a design rule of its space.

    Attributes:
        rule: the rule's name.
        message: what is there and what the rule wants, in one line.
    """

    rule: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFit:
    """What came of fitting a network to a bound on latency.

    Attributes:
        bound_by: which bound its size follows from.
        max_ms: the bound.
        quantile: of the calls' times, what counted.
        ms: that quantile; None where no network was quick enough.
        measured: FLOPs and milliseconds of every network measured on the way.
    """

    bound_by: Literal["flops", "latency"]
    max_ms: float
    quantile: str
    ms: float | None
    measured: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """How a candidate's widths were solved for.

    Attributes:
        base_width: the real base width before rounding, in channels.
        multiple: every width is a multiple of this.
        widths: every width by name, in channels.
        notes: what the space records besides, as JSON values.
    """

    base_width: float
    multiple: int
    widths: Mapping[str, int]
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """A network of a study: what is known of it before it trains.

    Attributes:
        name: `trial-0007`, or a published network's name.
        label: the design in a few words.
        graph: content hash of the network; the Graph itself lies in the study's folder.
        flops: multiply-adds of one image; 0 where no network could be made.
        fill: FLOPs as a share of the budget; above 1 for some published networks.
        findings: departures from the rules its space holds; None: an earlier version did not look.
        obeys: rules that the study has freed and that it follows all the same.
        solved: None for networks that were not solved for.
        latency_fit: None where there was no bound on latency.
        budget_graph: content hash of the network at the full budget, where latency made it smaller.
        budget: FLOPs that it was solved to fill, where the study has several budgets; None: it has one.
    """

    name: str
    label: str
    origin: Origin
    graph: str
    flops: int = 0
    params: int = 0
    activation_bytes: int = 0
    fill: float = 0.0
    findings: tuple[Departure, ...] | None = None
    obeys: tuple[str, ...] = ()
    solved: Solved | None = None
    latency_fit: LatencyFit | None = None
    budget_graph: str | None = None
    budget: int | None = None

    @property
    def role(self) -> Role:
        """The part it plays: what neither the sampler nor the user proposed is a baseline."""
        return "candidate" if self.origin in ("search", "given") else "baseline"

    @property
    def exists(self) -> bool:
        """Whether there is a network at all."""
        return self.flops > 0

    def training_flops(self, images: int) -> int:
        """Return the FLOPs of training it on so many images."""
        return training_flops(self.flops, images)

    @property
    def at_budget(self) -> str:
        """Content hash of the network at the full budget: what tells one proposal from another."""
        return self.budget_graph or self.graph


def design_of(candidate: Candidate, *, name: str, origin: Origin, suffix: str = "") -> Design:
    """Return a candidate's facts.

    Args:
        candidate: the network, solved.
        name: of its trial.
        origin: who proposed it.
        suffix: what the label ends in.
    """
    notes = json.loads(json.dumps(candidate.notes, default=str))  # what JSON lacks becomes text
    return Design(
        name=name,
        label=" ".join(f"{candidate.title}{suffix}".split()),
        origin=origin,
        graph=content_hash(candidate.graph),
        flops=candidate.cost.flops,
        params=candidate.cost.params,
        activation_bytes=candidate.cost.activation_bytes,
        fill=candidate.fill,
        findings=_departures(candidate.graph, candidate.holds),
        obeys=candidate.obeyed,
        solved=Solved(
            base_width=candidate.base_width,
            multiple=candidate.multiple,
            widths=dict(candidate.widths),
            notes=notes,
        ),
    )


def published_design(name: str, graph: Graph, *, space: Space, request: Request) -> Design:
    """Return the facts of a network as published, seen from a space and what is asked of it."""
    freed = sorted(request.relax)
    price = cost(graph)
    return Design(
        name=name,
        label=name,
        origin="published",
        graph=content_hash(graph),
        flops=price.flops,
        params=price.params,
        activation_bytes=price.activation_bytes,
        fill=price.flops / request.budget.high,
        findings=_departures(graph, space.rules_but(freed)),
        obeys=tuple(rule for rule in freed if not find_breaches(graph, (rule,))),
    )


def plain_design(name: str, graph: Graph, *, origin: Origin) -> Design:
    """Return the facts of a network that no space and no budget is known of."""
    price = cost(graph)
    return Design(
        name=name,
        label=graph.name or name,
        origin=origin,
        graph=content_hash(graph),
        flops=price.flops,
        params=price.params,
        activation_bytes=price.activation_bytes,
        fill=1.0,
    )


def _departures(graph: Graph, rules: Iterable[str]) -> tuple[Departure, ...]:
    return tuple(Departure(found.rule, found.message) for found in find_breaches(graph, rules))
