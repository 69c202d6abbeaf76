"""Processes that train one network together, each on its share of every batch."""

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from archsearch.training.setup import WorkerSetup


class Team(Protocol):
    """What one of these processes knows of the others; all call the same methods in the same order."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0; the first one speaks for all."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def agreed(self, answer: bool) -> bool:
        """Return the answer of the first process."""
        ...

    def total(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the sum of everyone's numbers."""
        ...


class Alone:
    """A process that trains without others."""

    rank: Final = 0
    size: Final = 1

    def agreed(self, answer: bool) -> bool:
        """Return the answer."""
        return answer

    def total(self, numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the numbers."""
        return numbers


ALONE: Final = Alone()


def join(setup: WorkerSetup) -> Team:
    """Wait for the other processes of a worker, if it has any, and return what they are together."""
    if setup.meeting is None:
        return ALONE
    if setup.backend == "torch":
        from archsearch.training.teams.torch_team import TorchTeam

        return TorchTeam(setup)
    if setup.backend == "jax":
        from archsearch.training.teams.jax_team import JaxTeam

        return JaxTeam(setup)
    from archsearch.training.teams.tensorflow_team import TensorFlowTeam

    return TensorFlowTeam(setup)


def share(count: int, team: Team) -> slice:
    """Return which of the images of a batch are this process's; all have equally many."""
    own = count // team.size
    return slice(team.rank * own, (team.rank + 1) * own)
