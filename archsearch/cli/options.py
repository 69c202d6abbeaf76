"""Options that several commands share, and printing JSON."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from archsearch.cli.completion import OF_SETTINGS, of_format
from archsearch.errors import UserError
from archsearch.units import parse_image_size, printable_lines

if TYPE_CHECKING:
    from archsearch.fields import Setting

_DOUBTFUL: Final = re.compile(r"[^ -~\n]")
"""What may not be printable; of ASCII without control characters everything is."""

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


class WholeNumber(click.IntRange):
    """A whole number between bounds; what is none is told in our words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number, or fail with the reason."""
        try:
            int(value)
        except ValueError:
            usual = max(self.min or 0, 1)
            self.fail(f"{value!r} is no whole number; write one, like {usual}", param, ctx)
        return super().convert(value, param, ctx)


def json_option(function: F) -> F:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else.")(
        function
    )


def print_json(value: Any) -> None:
    """Print one JSON document."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    # A terminal, too, may be where it goes: control characters that JSON lets stand are escaped as it does.
    click.echo(_DOUBTFUL.sub(lambda found: _printable(found[0]), text))


def _printable(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]


def say(text: str, *, error: bool = False) -> None:
    """Print a line of text to stdout, or to stderr; what would move a terminal's cursor is written out."""
    click.echo(printable_lines(text), err=error)


def setting_option(setting: "Setting") -> Callable[[F], F]:
    """Add a setting's flag; None, and () for one that may be repeated, is what was not given."""
    flag, said = setting.flag, setting.declared
    if setting.kind is bool:
        switch = f"{flag}/--no-{flag.removeprefix('--')}"
        return click.option(switch, setting.name, default=None, help=setting.help)
    kind = {int: WholeNumber(said.least), float: click.FLOAT}.get(setting.kind, click.STRING)
    return click.option(
        flag,
        setting.name,
        type=kind,
        metavar=said.metavar,
        multiple=said.repeatable,
        help=setting.help,
        shell_complete=OF_SETTINGS.get(setting.name),
    )


home_option = click.option(
    "--home",
    type=click.Path(path_type=Path),
    default="mlruns",
    envvar="ARCHSEARCH_HOME",
    show_default=True,
    help="Where runs are kept.",
)


def exporting_options(function: F) -> F:
    """Add the options of a command that writes models: where to, in which formats, over what is there."""
    out = click.option(
        "--out",
        type=click.Path(path_type=Path),
        help="Where to, or the folder for several formats; default: in the study.",
    )
    forms = click.option(
        "--format",
        "forms",
        metavar="NAME",
        multiple=True,
        shell_complete=of_format,
        help="An installed format, such as keras, onnx, litert-int8 or python; repeatable. Default: the "
        "one that --out ends in (.keras, .onnx, .tflite, .pt2), else saved_model.",
    )
    force = click.option("--force", is_flag=True, help="Replace an export that is at --out.")
    named = click.option(
        "--license",
        "license_name",
        metavar="NAME",
        help="The model's licence, for its card: apache-2.0, say.",
    )
    return out(forms(force(named(function))))
