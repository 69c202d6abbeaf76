"""Processes that train one network together on JAX: arrays that lie on all of them.

Weights are the same everywhere, and each process has its share of every batch. XLA sees one program over the
whole batch: it adds up gradients and statistics between the processes where the program says mean or sum, so
batch normalization is over the whole batch, and dropout draws what one process would.
"""

from typing import Any

import jax
import numpy as np
import numpy.typing as npt
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from archsearch.training.setup import WorkerSetup
from archsearch.training.teams.meeting import addresses


class JaxTeam:
    """The processes of one worker, met (see archsearch.training.teams.team.Team).

    Attributes:
        everywhere: of arrays that are the same in every process.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self.rank, self.size = setup.rank, setup.devices
        if setup.gpu is None:
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
        first, *_ = addresses(setup)
        jax.distributed.initialize(first, self.size, self.rank)
        mesh = Mesh(np.array(jax.devices()), ("images",))
        self.everywhere = NamedSharding(mesh, PartitionSpec())
        self._by_images = NamedSharding(mesh, PartitionSpec("images"))

    def agreed(self, answer: bool) -> bool:
        """Return the answer of the first process."""
        return bool(self._gathered(np.array([float(answer)]))[0, 0])

    def total(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum of everyone's numbers."""
        found: npt.NDArray[np.float64] = self._gathered(np.asarray(numbers, np.float64)).sum(0)
        return found

    def same(self, array: Any) -> Any:
        """Return an array that every process has as the same one on all of them."""
        values = np.asarray(array)
        return jax.make_array_from_callback(values.shape, self.everywhere, values.__getitem__)

    def joined(self, share: Any) -> Any:
        """Return everyone's shares of a batch (n / size, …) as the whole batch (n, …)."""
        own = jax.device_put(share, jax.local_devices()[0])
        whole = (self.size * own.shape[0], *own.shape[1:])
        return jax.make_array_from_single_device_arrays(whole, self._by_images, [own])

    def _gathered(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return everyone's numbers, by rank, to the bit: JAX has no float64, so their bytes go."""
        found = multihost_utils.process_allgather(numbers.view(np.uint8))
        return np.ascontiguousarray(found, np.uint8).view(np.float64)


def own(array: Any) -> Any:
    """Return what this process has of an array that is the same in all."""
    return array.addressable_data(0)
