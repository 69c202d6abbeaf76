"""Commands that list what is there: spaces, baselines and rules."""

import click

from archsearch.cli.completion import of_space
from archsearch.cli.options import ImageSize, WholeNumber, json_option, print_json, setting_option
from archsearch.settings import SETTINGS


@click.command(
    epilog="Examples: archsearch spaces · archsearch spaces resnext --flops 20M · archsearch spaces vgg "
    "--flops 4G --input 224x224x3 --classes 1000 --relax channel-doubling --json"
)
@click.argument("name", required=False, shell_complete=of_space)
@click.option("--flops", metavar="BUDGET", help="Show the space at this budget.")
@click.option("--input", "size", type=ImageSize(), help="… on images of this size.")
@click.option("--classes", type=WholeNumber(2), help="… for so many classes.")
@setting_option(SETTINGS["relax"])
@json_option
def spaces(
    name: str | None,
    flops: str | None,
    size: tuple[int, int, int] | None,
    classes: int | None,
    relax: tuple[str, ...],
    as_json: bool,
) -> None:
    """List the design spaces: what each varies, the rules it holds, the budgets it reaches.

    With a NAME, show that space in detail, at a budget: its classic, the knobs' ranges and why they end
    there, its rules with their tolerance, what can be freed, an example, and what its labels say.
    """
    if name is not None:
        _space(name, flops, size, classes, relax, as_json=as_json)
        return
    if flops or size or classes or relax:
        raise click.UsageError(
            "--flops, --input, --classes and --relax are for one space: give its NAME"
        )
    from archsearch.report import catalog
    from archsearch.space.registry import load_spaces

    rows = catalog.space_rows(load_spaces())
    if as_json:
        print_json(rows)
        return
    from archsearch.report import tables

    tables.show(tables.spaces(rows))


def _space(
    name: str,
    flops: str | None,
    size: tuple[int, int, int] | None,
    classes: int | None,
    relax: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    from archsearch import api
    from archsearch.report import space_page, tables

    facts = api.space_facts(name, flops, input=size, classes=classes, relax=relax)
    if as_json:
        print_json(facts)
    else:
        tables.show(*space_page.space_page(facts))


@click.command()
@json_option
def baselines(as_json: bool) -> None:
    """List the classic networks, their exact costs and where they are defined."""
    from archsearch.report import catalog
    from archsearch.space.registry import load_baselines

    rows = catalog.baseline_rows(load_baselines())
    if as_json:
        print_json(rows)
        return
    from archsearch.report import tables

    tables.show(tables.baselines(rows))


@click.command()
@json_option
def rules(as_json: bool) -> None:
    """List the design rules: what each says, its equation and tolerance, who taught and who holds it."""
    from archsearch.report.catalog import rule_rows
    from archsearch.space.registry import load_spaces

    rows = rule_rows(load_spaces())
    if as_json:
        print_json(rows)
        return
    from archsearch.report import tables

    tables.show(tables.rules(rows))
