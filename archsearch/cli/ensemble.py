"""The command about ensembles: finalists averaged, as one model."""

from pathlib import Path

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


@click.command(
    epilog="Examples: archsearch ensemble resnext-20M-digits --top 3 · archsearch ensemble "
    "resnext-20M-digits --single --format onnx --out ensemble.onnx"
)
@click.argument("study", shell_complete=of_study)
@click.option("--top", type=WholeNumber(2), default=3, show_default=True, help="Members at most.")
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
    single: bool,
    out: Path | None,
    forms: tuple[str, ...],
    force: bool,
    flops: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Average the probabilities of a study's finalists, chosen on validation images; export one model.

    Members are taken one after the other, always the one with which the mean is best (Caruana et al. 2004);
    test images only judge.
    """
    found = api.ensemble(
        study, home=home, top=top, forms=forms, out=out, overwrite=force, flops=flops, single=single
    )
    if found.without:
        say(f"no weights are kept of {', '.join(found.without)}", error=True)
    if as_json:
        print_json(found.to_dict())
        return
    from archsearch.report import model_tables, tables

    tables.show(model_tables.ensemble(found))
    said = f"validation: {found.val_images} images, which no member has trained on"
    say(f"{said}; chosen from {found.candidates} finalists by these")
    if found.val < max(member.val for member in found.members):
        say("validation does not speak for the ensemble: its best member alone is right more often")
    for made in found.exports:
        size = f"{made.size_bytes / 1e6:.2f} MB"
        say(f"Exported the ensemble as {made.format} to {made.path}, {size}; {made.sentence()}")
        if made.warning is not None:
            say(f"warning: {made.warning}", error=True)
    if found.single is None:
        again = command("ensemble", study, home=home)
        say(f"What one network of these FLOPs comes to is not known: {again} --single trains it")
