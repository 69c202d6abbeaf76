"""Commands that list what is there: spaces, baselines and rules."""

import click

from archsearch.cli.options import json_option, print_json


@click.command()
@json_option
def spaces(as_json: bool) -> None:
    """List the design spaces: what each varies, the rules it holds, the budgets it reaches."""
    from archsearch.report import catalog
    from archsearch.space.registry import load_spaces

    rows = catalog.space_rows(load_spaces())
    if as_json:
        print_json(rows)
        return
    from archsearch.report import tables

    tables.show(tables.spaces(rows))


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
    """List the design rules: what each says, who taught it, its equation."""
    from archsearch.rules.audit import rule_rows

    rows = rule_rows()
    if as_json:
        print_json(rows)
        return
    from archsearch.report import tables

    tables.show(tables.rules(rows))
