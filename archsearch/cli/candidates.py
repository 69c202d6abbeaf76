"""The command that draws candidates: sample."""

import json
from typing import Any

import click

from archsearch import api
from archsearch.cli.completion import of_space
from archsearch.cli.options import ImageSize, WholeNumber, setting_option
from archsearch.ir.codec import to_dict
from archsearch.settings import SETTINGS
from archsearch.space.solve import Candidate


@click.command(
    epilog="Examples: archsearch sample --space resnext --flops 20M · archsearch sample --space resnext "
    "--flops 4G --input 224x224x3 -n 3 · archsearch sample --space vgg --flops 20M --input 32x32x3 "
    "-n 100 --seed 1 --json > candidates.jsonl"
)
@click.option(
    "--space",
    "space_name",
    required=True,
    metavar="NAME",
    shell_complete=of_space,
    help="The design space.",
)
@click.option("--flops", required=True, metavar="BUDGET", help="4G: filled; 3.8G:4.2G: a range.")
@click.option("--input", "size", type=ImageSize(), help="Default: 32x32x1, the digits, as run's.")
@click.option("--classes", type=WholeNumber(2), help="Default: 1000 (10 on small images).")
@click.option("-n", "count", type=WholeNumber(1), default=10, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@setting_option(SETTINGS["relax"])
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def sample(
    space_name: str,
    flops: str,
    size: tuple[int, int, int] | None,
    classes: int | None,
    count: int,
    seed: int,
    relax: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw candidates of a space; every one fills the budget, none is thrown away for its size."""
    asked: dict[str, Any] = {"input": size, "classes": classes, "relax": relax}
    candidates = api.sample(space_name, flops, **asked, count=count, seed=seed)
    if as_json:
        for candidate in candidates:
            click.echo(json.dumps(_line(candidate), separators=(",", ":")))
        return
    from archsearch.report import tables
    from archsearch.space.registry import find_space

    found = list(candidates)
    pays_not = api.left_out(space_name, flops, **asked)
    notes = [
        f"this budget cannot pay {name} {', '.join(map(str, values))}"
        for name, values in pays_not.items()
    ]
    words = find_space(space_name).words
    tables.show(tables.candidates(found, words=words, freed=bool(relax), notes=notes))


def _line(candidate: Candidate) -> dict[str, Any]:
    from archsearch.space.standing import standing

    return {
        "space": candidate.space,
        "label": candidate.label,
        "knobs": candidate.knobs,
        "flops": candidate.cost.flops,
        "params": candidate.cost.params,
        "activation_bytes": candidate.cost.activation_bytes,
        "fill": candidate.fill,
        "base_width": candidate.base_width,
        "multiple": candidate.multiple,
        "widths": candidate.widths,
        "notes": candidate.notes,
        **standing(candidate).to_dict(),
        "graph": to_dict(candidate.graph),
    }
