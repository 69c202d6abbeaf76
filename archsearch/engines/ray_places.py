"""How workers are placed on a cluster of Ray's: which stay together, and what each place asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archsearch.engines.engine import Machine
from archsearch.errors import UserError
from archsearch.training.setup import WorkerSetup
from archsearch.units import counted


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster, as it has told Ray.

    Attributes:
        cores: that trainings may use.
        gpus: likewise.
        memory_bytes: main memory for them.
    """

    cores: int
    gpus: int = 0
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Workers that stay together on one node: one, or all that share a GPU.

    Attributes:
        setups: of its workers; which GPUs they are given, the node says.
        cores: that it asks for.
        gpus: likewise.
    """

    setups: tuple[WorkerSetup, ...]
    cores: int
    gpus: int = 0


def machine_of(nodes: Sequence[Node]) -> Machine:
    """Return what the nodes have together; what an autoscaler may yet bring, Ray does not tell."""
    gpus = sum(node.gpus for node in nodes)
    return Machine(
        cores=sum(node.cores for node in nodes),
        gpus=tuple(str(number) for number in range(gpus)),
        memory_bytes=sum(node.memory_bytes for node in nodes),
    )


def places_of(setups: Sequence[WorkerSetup], nodes: Sequence[Node]) -> tuple[Place, ...]:
    """Return the places for workers: those that share a GPU go together, as they share its service too.

    A worker has no more threads than the largest node has cores: it could be placed nowhere.

    Raises:
        UserError: a training is to have more GPUs than any node.
    """
    together: dict[object, list[WorkerSetup]] = {}
    for number, setup in enumerate(setups):
        shared = setup.gpu is not None and setup.devices == 1
        together.setdefault(setup.gpu if shared else number, []).append(setup)
    return tuple(_place(group, nodes) for group in together.values())


def _place(setups: Sequence[WorkerSetup], nodes: Sequence[Node]) -> Place:
    first = setups[0]
    gpus = 0 if first.gpu is None else first.devices
    cores = first.threads * first.devices * len(setups)
    # Where no node is there yet, one that comes will be large enough, or nobody can tell.
    most = max((_cores_beside(node, gpus) for node in nodes), default=cores)
    if gpus > 1 and nodes and max(node.gpus for node in nodes) < gpus:
        raise UserError(
            f"--devices {gpus}: no node of the Ray cluster has {counted(gpus, 'GPU')}; a training "
            "stays on one node"
        )
    cores = max(1, min(cores, most or cores))
    threads = max(1, cores // (first.devices * len(setups)))
    return Place(tuple(replace(setup, threads=threads) for setup in setups), cores, gpus)


def _cores_beside(node: Node, gpus: int) -> int:
    """Return the cores of a node that go with so many of its GPUs."""
    return node.cores * gpus // node.gpus if gpus and node.gpus else 0 if gpus else node.cores
