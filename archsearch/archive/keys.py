"""How a study's trainings are called: built and read here, and nowhere else."""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self, TypeAlias

Purpose: TypeAlias = Literal["search", "final", "pace"]
"""What a training is for: to search, to decide between finalists, to measure the machine."""

_TRIAL: Final = "trial-"
_FINAL: Final = re.compile(r"final-(.+)-seed(\d+)")
_RUNG: Final = re.compile(r"(.+)-rung(\d+)")
_PACE: Final = re.compile(r"pace-\d+")


def trial_name(number: int) -> str:
    """Return the name of a trial's network: `trial-0007`."""
    return f"{_TRIAL}{number:04d}"


@dataclass(frozen=True, slots=True)
class JobKey:
    """The key of one training, unique in its study and fit for a file name.

    Attributes:
        purpose: what the training is for.
        name: of the network: `trial-0007`, or a published network's name.
        seed: the number of a finalist's seed, from 1; None: the study's only one.
        rung: the step of the ladder of lengths a search's training stands on; 0 is the lowest.
    """

    purpose: Purpose
    name: str
    seed: int | None = None
    rung: int = 0

    def __str__(self) -> str:
        if self.purpose == "final":
            return f"final-{self.name.removeprefix(_TRIAL)}-seed{self.seed}"
        return f"{self.name}-rung{self.rung}" if self.rung else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str()` gave.

        Raises:
            ValueError: the text is no training's key.
        """
        if found := _FINAL.fullmatch(text):
            stem = found[1]
            name = f"{_TRIAL}{stem}" if stem.isdecimal() else stem
            return cls("final", name, seed=int(found[2]))
        if _PACE.fullmatch(text):
            return cls("pace", text)
        found = _RUNG.fullmatch(text)
        name = found[1] if found else text
        if not name.startswith(_TRIAL):
            raise ValueError(f"{text!r} is no key of a training")
        return cls("search", name, rung=int(found[2]) if found else 0)
