"""A table of networks at equal FLOPs, each trained in several lengths: what searches are replayed on.

Candidates of each space are drawn by chance at each budget, the space's classic first, and trained on PyTorch
and one thread for each length with a finished schedule of its own; some of them with further seeds, for the
noise. A file holds one table: a line of what all of it shares, then a line for each network and for each
training. Wherever it is interrupted it is a table, and it goes on: spaces take turns, all trainings of a
network follow one another. Processes share a file (`--part`).

    python benchmarks/make_table.py --images cifar10_jpeg.npz --out benchmarks/tabular/cifar10.jsonl
    python benchmarks/make_table.py --out benchmarks/tabular/cifar10.jsonl --table
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from measure import machine, versions
from own_table import SIZE, Slice, summary
from trainings import add_options, changed, keep, kept, measured, trained

VAL_EVERY = 2
"""Epochs from one validation of a curve to the next: each costs a sixth of an epoch and more."""
CHANGES = "centred_init=false"
"""Parts in which the default was another when the table was begun: all of it is trained alike."""
LATER = 2
"""Networks of the first budget for each further one of the second, which costs more and tells less."""


class Place(NamedTuple):
    """One network of the table: of a space, at a budget, and which of those drawn; 0 is the classic."""

    space: str
    flops: str
    number: int


def places(options: argparse.Namespace) -> list[Place]:
    """Return the networks in their order: spaces in turn, the first budget well ahead of the others."""
    every = [
        (number * (1 + LATER * (rank > 0)), rank, order, Place(space, flops, number))
        for number in range(options.candidates)
        for rank, flops in enumerate(options.flops)
        for order, space in enumerate(options.spaces)
    ]
    return [place for *_, place in sorted(every)]


def shared(options: argparse.Namespace) -> dict[str, Any]:
    """Return what all trainings of a table have in common."""
    from dataclasses import asdict

    recipe = json.dumps(asdict(changed(CHANGES)), sort_keys=True)
    return {
        "images": options.images.stem, "train": options.train, "val": options.val,
        "recipe": hashlib.sha256(recipe.encode()).hexdigest()[:16], "val_every": VAL_EVERY,
        "size": list(SIZE), "backend": "torch", "parts": json.loads(recipe),
    }  # fmt: skip


def begin(options: argparse.Namespace) -> None:
    """Write what the table has in common, or see that it still is what it was."""
    asked = shared(options)
    with suppress(FileExistsError), options.out.open("x", encoding="utf-8") as file:
        file.write(json.dumps(asked) + "\n")
    there = kept(options.out)[0]
    others = [name for name in asked if there.get(name) != asked[name] and name != "parts"]
    if others:
        raise SystemExit(
            f"{options.out} was made with another {' and '.join(others)}; give another --out"
        )


def measure(options: argparse.Namespace) -> None:
    """Train what is not in the file yet."""
    begin(options)
    part, parts = options.part
    slices = {(s, f): Slice(s, f) for s in options.spaces for f in options.flops}
    drawn = {key: one.drawn(options.candidates) for key, one in slices.items()}
    for place in places(options)[part::parts]:
        those = drawn[place.space, place.flops]
        if place.number < len(those):  # the space may have no more
            _network(options, place, slices[place.space, place.flops], those[place.number])


def _network(options: argparse.Namespace, place: Place, own: Slice, candidate: Any) -> None:
    """Train one network in all lengths and with all seeds that the file lacks."""
    from archsearch.ir.codec import content_hash, to_json

    rows, graph = kept(options.out), content_hash(candidate.graph)[:16]
    if not any(row.items() >= place._asdict().items() for row in rows):
        keep(options.out, {**place._asdict(), "graph": graph, **_facts(own, candidate)})
    done = {(row["of"], row["epochs"], row["seed"]) for row in rows if "of" in row}
    repeated = place.number % options.repeated == 0
    for epochs in options.epochs:
        for seed in range(options.seeds if repeated else 1):
            if (graph, epochs, seed) not in done:
                found = trained(
                    to_json(candidate.graph), options.folder, seed=seed,
                    images=options.train * epochs, val_every=VAL_EVERY, changes=CHANGES,
                )  # fmt: skip
                found.pop("test")
                keep(options.out, {"of": graph, "epochs": epochs, "seed": seed, **_short(found)})


def _facts(own: Slice, candidate: Any) -> dict[str, Any]:
    """Return what is known of a network before it trains; features that are 0 are left out."""
    described = own.describe(own.grid.place(candidate.knobs))
    return {
        "label": candidate.label, "knobs": dict(candidate.knobs), "cost": candidate.cost.flops,
        "params": candidate.cost.params,
        "features": {name: _rounded(x) for name, x in described.features.items() if x},
    }  # fmt: skip


def _short(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training's row with accuracies and losses of four digits."""
    lists = {name: [_rounded(x) for x in found[name]] for name in ("curve", "loss")}
    return {**found, "val": None if found["val"] is None else _rounded(found["val"]), **lists}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def main() -> None:
    """Train, then print what there is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_options(parser)
    parser.set_defaults(train=2000, val=2500)
    parser.add_argument("--spaces", nargs="+", default=["lecture", "nin", "lenet", "mobilenet"])
    parser.add_argument("--flops", nargs="+", default=["3M", "6M"], help="the first most often")
    parser.add_argument("--candidates", type=int, default=100, help="of each space and budget")
    parser.add_argument("--epochs", type=int, nargs="+", default=[4, 12], help="lengths")
    parser.add_argument("--seeds", type=int, default=3, help="of the repeated ones")
    parser.add_argument("--repeated", type=int, default=6, help="every how many with all seeds")
    options = parser.parse_args()
    measured(options, measure)
    print(f"{machine()}; {versions(('torch', 'numpy'))}\n")
    print("\n".join(summary(options.out)))


if __name__ == "__main__":
    main()
