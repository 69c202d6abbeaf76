"""The networks that throughput.py and packing.py train: candidates of a family at a budget, or baselines."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from archsearch.errors import BudgetError
from archsearch.ir.codec import to_json
from archsearch.readings.cost import cost
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import Knob, Knobs
from archsearch.space.registry import find_baseline, find_space
from archsearch.space.solve import Candidate, solve
from search_spaces.resnext import ResNextSpace

SMALL = (32, 32, 3)
CLASSES = 10

FAMILIES = ("vgg", "resnet", "resnext2", "resnext4", "wrn", "densenet", "mobilenet_v2")
NETWORKS = ("resnet50", "resnext50_32x4d")


@dataclass(frozen=True, slots=True)
class Case:
    """A network to train on both sides.

    Attributes:
        name: `resnext4 20M`.
        label: the candidate's own.
        graph: Graph JSON.
        flops, params: exact.
        size: (height, width, channels) of an image.
        plain: what `plain_network` needs.
    """

    name: str
    label: str
    graph: str
    flops: int
    params: int
    size: tuple[int, int, int]
    classes: int
    plain: dict[str, Any]


class _AnyCardinality(ResNextSpace):
    """ResNeXt with any number of paths at any budget, since the benchmark asks for both."""

    def knobs(self, request: Request) -> tuple[Knob, ...]:
        """Return the widest knobs there are."""
        return self.tiers(request)[-1]


def candidate_case(family: str, budget: str) -> Case:
    """Return a family's classic network at a budget on 32×32 images, its matched baseline.

    ResNeXt's has 2 or 4 paths, in as many as three blocks a stage as the budget pays for.
    """
    request = Request(SMALL, CLASSES, Budget.parse(budget, SMALL))
    if family.startswith("resnext"):
        found = _deepest(int(family.removeprefix("resnext")), request)
    else:
        space = find_space(family)
        found = solve(space, space.classic_knobs(request), request)
    return Case(
        name=f"{family} {budget}",
        label=found.label,
        graph=to_json(found.graph),
        flops=found.cost.flops,
        params=found.cost.params,
        size=SMALL,
        classes=CLASSES,
        plain={"space": found.space, "knobs": found.knobs, "widths": dict(found.widths)},
    )


def _deepest(paths: int, request: Request) -> Candidate:
    """Return the ResNeXt of so many paths with the most blocks a stage, three at most.

    Raises:
        BudgetError: not even one block a stage fits.
    """
    for depth in (3, 2, 1):
        knobs: Knobs = {f"depth{i}": depth for i in (1, 2, 3)}
        with suppress(BudgetError):
            return solve(_AnyCardinality(), {**knobs, "depth4": 0, "cardinality": paths}, request)
    raise BudgetError(f"no ResNeXt of {paths} paths is so small")


def network_case(name: str, side: int) -> Case:
    """Return a published network at a size of image, with 1000 classes."""
    size = (side, side, 3)
    graph = find_baseline(name).build(size, 1000)
    costs = cost(graph)
    return Case(
        name=f"{name} {side}",
        label=name,
        graph=to_json(graph),
        flops=costs.flops,
        params=costs.params,
        size=size,
        classes=1000,
        plain={"network": name},
    )


def plain_network(case: Case) -> Any:
    """Build the same network out of torch's own modules, and check that it is the same.

    Raises:
        ValueError: parameters or FLOPs differ.
    """
    import torch_candidates
    import torch_nets

    if "network" in case.plain:
        model = getattr(torch_nets, case.plain["network"])(classes=case.classes)
    else:
        model = torch_candidates.of_candidate(**case.plain, side=case.size[0], classes=case.classes)
    flops, params = torch_nets.count(model, case.size)
    if (flops, params) != (case.flops, case.params):
        raise ValueError(
            f"{case.name}: the plain network has {flops} FLOPs and {params} parameters, "
            f"the candidate {case.flops} and {case.params}"
        )
    return model
