"""Commands about data: inspect."""

from pathlib import Path

import click

from archsearch.cli.options import home_option, json_option, print_json, say


@click.group()
def data() -> None:
    """Look at images before training on them."""


@data.command(
    epilog="Examples: archsearch data inspect photos/ --sheet photos.png · archsearch data inspect photos/ "
    "--sheet photos.png --recipe long"
)
@click.argument("source", metavar="DATA")
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a contact sheet, a PNG.")
@click.option(
    "--recipe", metavar="NAME", help="… of images as this recipe changes them (docs/recipes.md)."
)
@home_option
@json_option
def inspect(source: str, sheet: Path | None, recipe: str | None, home: Path, as_json: bool) -> None:
    """Show classes, counts, sizes, copies across splits (leaks) and bad files; trains nothing.

    DATA is what --data of `run` takes: a folder, an .npz, a .csv of path,label, or a name.
    """
    from archsearch import inspection
    from archsearch.data import open_source
    from archsearch.recipes.named import find_recipe
    from archsearch.report.live import progress_bar

    if recipe is not None and sheet is None:
        raise click.UsageError("--recipe changes the images of a contact sheet: give --sheet FILE")
    asked = None if recipe is None else find_recipe(recipe)
    opened = open_source(source, home=home)
    with progress_bar("images") as progress:
        found = inspection.inspect(opened, home=home, progress=progress)
    if sheet is not None:
        inspection.contact_sheet(opened.items(), sheet, asked=asked)
    if as_json:
        print_json(found.to_json())
        return
    from archsearch.report.tables import new_table, show

    table = new_table("what", "found")
    for what, finding in found.rows():
        table.add_row(what, finding)
    show(table)
    if sheet is not None:
        say(f"contact sheet: {sheet}")
