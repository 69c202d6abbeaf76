"""The command about ensembles: finalists averaged, as one model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsearch import api
from archsearch.cli.completion import of_study
from archsearch.cli.options import (
    WholeNumber,
    exporting_options,
    home_option,
    json_option,
    print_json,
    say,
)
from archsearch.commands import command
from archsearch.errors import UserError

if TYPE_CHECKING:
    from archsearch.ensembles.makeup import Ensemble

_TOP = 3


@click.command(
    epilog="Examples: archsearch ensemble resnext-20M-digits --top 3 · archsearch ensemble "
    "resnext-20M-digits --scales 0.9,1,1.1 --mirror · archsearch ensemble "
    "resnext-20M-digits --single --out ensemble.onnx"
)
@click.argument("study", shell_complete=of_study)
@click.option(
    "--top", type=WholeNumber(1), default=_TOP, show_default=True, help="Members at most."
)
@click.option(
    "--scales", metavar="S,…", help="Let each look at images of these sizes, too: 0.9,1,1.1."
)
@click.option("--mirror", is_flag=True, help="Let each look at mirrored images, too.")
@click.option(
    "--single",
    is_flag=True,
    help="Train one network of the ensemble's FLOPs by the same recipe, to compare.",
)
@exporting_options
@click.option("--flops", metavar="F", help="Of several budgets, finalists of this one alone.")
@home_option
@json_option
def ensemble(
    study: str,
    top: int,
    scales: str | None,
    mirror: bool,
    single: bool,
    out: Path | None,
    forms: tuple[str, ...],
    force: bool,
    license_name: str | None,
    flops: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Average the probabilities of a study's finalists, chosen on validation images; export one model.

    Members are taken one after the other, always the one with which the mean is best (Caruana et al. 2004);
    test images only judge. Where one alone is best, the model is that one. FLOPs count every view.
    """
    found = api.ensemble(
        study, home=home, top=top, forms=forms, out=out, overwrite=force, flops=flops, single=single,
        scales=_scales(scales), mirror=mirror, license_name=license_name,
    )  # fmt: skip
    if found.without:
        say(f"no weights are kept of {', '.join(found.without)}", error=True)
    if as_json:
        print_json(found.to_dict())
        return
    _tell(found)
    if found.single is None:
        again = command("ensemble", study, home=home)
        again += f" --top {top}" if top != _TOP else ""
        again += (f" --scales {scales}" if scales else "") + (" --mirror" if mirror else "")
        say(f"What one network of these FLOPs comes to is not known: {again} --single trains it")


def _tell(found: "Ensemble") -> None:
    """Print the table, what validation says, and what was written."""
    from archsearch.report import model_tables, tables

    tables.show(model_tables.ensemble(found))
    said = f"validation: {found.val_images} images, which no member has trained on"
    say(f"{said}; chosen from {found.candidates} finalists by these")
    if len(found.members) == 1:
        say(
            "validation does not speak for an ensemble: one network alone is as good; it is the model"
        )
    if found.plain_val is not None and found.val < found.plain_val:
        more = f"{100 * found.plain_val:.1f} %, with them {100 * found.val:.1f} %"
        say(f"validation does not speak for scales and mirroring: without them it is {more}")
    for made in found.exports:
        size = f"{made.size_bytes / 1e6:.2f} MB"
        say(f"Exported {found.name} as {made.format} to {made.path}, {size}; {made.sentence()}")
        if made.warning is not None:
            say(f"warning: {made.warning}", error=True)


def _scales(text: str | None) -> tuple[float, ...]:
    """Return the numbers in `0.9,1,1.1`."""
    try:
        return tuple(float(part) for part in text.split(",")) if text is not None else (1.0,)
    except ValueError:
        raise UserError(f"--scales is {text!r}, wanted numbers such as 0.9,1,1.1") from None
