"""The command that draws candidates: sample."""

import json

import click

from archsearch import api
from archsearch.cli.options import ImageSize, setting_option
from archsearch.ir.codec import to_dict
from archsearch.settings import SETTINGS


@click.command(
    epilog="Examples: archsearch sample --space resnext --flops 4G -n 3 · archsearch sample "
    "--space vgg --flops 20M --input 32x32x3 --classes 10 -n 100 --seed 1 --json"
)
@click.option("--space", "space_name", required=True, metavar="NAME", help="The design space.")
@click.option("--flops", required=True, metavar="BUDGET", help="4G: filled; 3.8G:4.2G: a range.")
@click.option("--input", "size", type=ImageSize(), default="224x224x3", show_default=True)
@click.option("--classes", type=click.IntRange(2), help="Default: 1000 (10 on small images).")
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@setting_option(SETTINGS["relax"])
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def sample(
    space_name: str,
    flops: str,
    size: tuple[int, int, int],
    classes: int | None,
    count: int,
    seed: int,
    relax: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw candidates of a space; every one fills the budget, none is thrown away for its size."""
    candidates = api.sample(
        space_name, flops, input=size, classes=classes, count=count, seed=seed, relax=relax
    )
    if not as_json:
        from archsearch.report import tables

        tables.show(tables.candidates(list(candidates)))
        return
    for candidate in candidates:
        line = {
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
            "graph": to_dict(candidate.graph),
        }
        click.echo(json.dumps(line, separators=(",", ":")))
