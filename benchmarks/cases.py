"""The networks that throughput.py and packing.py train: candidates of a family at a budget, or baselines."""

from dataclasses import dataclass
from typing import Any

from archsearch.ir.codec import to_json
from archsearch.readings.cost import cost
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import Knob
from archsearch.space.registry import find_baseline, find_space
from archsearch.space.solve import solve
from search_spaces.resnext import ResNextSpace

SMALL = (32, 32, 3)
CLASSES = 10

FAMILIES = ("vgg", "resnet", "resnext8", "resnext32", "wrn", "densenet", "mobilenet_v2")
NETWORKS = ("resnet50", "resnext50_32x4d")


@dataclass(frozen=True, slots=True)
class Case:
    """A network to train on both sides.

    Attributes:
        name: `resnext8 20M`.
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

    ResNeXt's has 8 or 32 paths, in as many as three blocks a stage as the budget pays for.
    """
    request = Request(SMALL, CLASSES, Budget.parse(budget, SMALL))
    if family.startswith("resnext"):
        space: Any = _AnyCardinality()
        paths = int(family.removeprefix("resnext"))
        # 32 paths of at least a channel each are too much for three blocks a stage at 20M.
        depth = 1 if paths == 32 and request.budget.high < 50e6 else 3
        knobs: Any = {f"depth{i}": depth for i in (1, 2, 3)} | {"depth4": 0, "cardinality": paths}
    else:
        space = find_space(family)
        knobs = space.classic_knobs(request)
    found = solve(space, knobs, request)
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
