"""Options that several commands share, and printing JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from archsearch.errors import UserError
from archsearch.units import parse_image_size

F = TypeVar("F", bound=Callable[..., Any])


class ImageSize(click.ParamType[tuple[int, int, int]]):
    """`224x224x3` as (224, 224, 3)."""

    name = "HxWxC"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        """Read the size, or fail with the reason."""
        try:
            return parse_image_size(value) if isinstance(value, str) else value
        except UserError as error:
            self.fail(str(error), param, ctx)


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(
        function
    )


def print_json(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


relax_option = click.option(
    "--relax",
    multiple=True,
    metavar="RULE",
    help="Free a design rule of the space: it becomes a knob; repeatable.",
)

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    default="mlruns",
    envvar="ARCHSEARCH_HOME",
    show_default=True,
    help="Where runs are kept.",
)
