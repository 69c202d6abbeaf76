"""The commands there are, loaded only when used, and what every error becomes: one line and a status.

Exit status: 0 done, 1 it failed (`check`: it found something), 2 the user's input is wrong, 130 interrupted.
"""

import atexit
import os
import select
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from types import MappingProxyType
from typing import Any, Final

import click

from archsearch.errors import ArchsearchError
from archsearch.lean_imports import import_lean
from archsearch.units import printable
from archsearch.uris import without_secrets

_COMMANDS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        # name: (module under archsearch.cli that defines it, one line for --help)
        "run": ("run", "Search a design space under a FLOP budget."),
        "train": ("run", "Train a network, or a study's winner, in full."),
        "resume": ("run", "Go on with a study that was interrupted."),
        "worker": ("machines", "Train for runs with --engine shared, on this machine."),
        "ui": ("studies", "Compare the runs in the MLflow UI."),
        "export": ("studies", "Write a study's best model as a SavedModel."),
        "ensemble": ("ensemble", "Average a study's finalists, as one model."),
        "predict": ("models", "Name the class of each image file."),
        "evaluate": ("models", "Show how well an exported model does."),
        "visualize": ("models", "Draw what a network sees in images."),
        "leaderboard": ("studies", "Show how a study stands."),
        "compare": ("comparison", "Compare design spaces, or studies, as distributions."),
        "ablate": ("comparison", "Measure what a design rule is worth."),
        "report": ("studies", "Write a study's report: table, pictures."),
        "studies": ("studies", "List the studies there are."),
        "rerun": ("studies", "Repeat one training of a study and compare every figure."),
        "track": ("studies", "Write to MLflow what it lacks of a study."),
        "delete": ("studies", "Delete a study, in Optuna and MLflow alike."),
        "spaces": ("catalog", "List the design spaces."),
        "baselines": ("catalog", "List the classic networks."),
        "rules": ("catalog", "List the design rules."),
        "check": ("networks", "Audit a network against the design rules."),
        "profile": ("networks", "Show a network's layers and exact costs."),
        "data": ("data", "Look at images before training on them."),
        "sample": ("candidates", "Draw candidates that fill a budget."),
    }
)


class _PipeError(Exception):
    """A BrokenPipeError, its cause, under a name that click leaves alone."""


@contextmanager
def _pipes_are_ours() -> Iterator[None]:
    # click makes an end with status 1 of it, here too, where it is not to end the process.
    try:
        yield
    except BrokenPipeError as error:
        raise _PipeError from error


class _LazyGroup(click.Group):
    """Knows every command's name and summary; imports the one that is called."""

    def make_context(self, *args: Any, **settings: Any) -> click.Context:
        with _pipes_are_ours():
            return super().make_context(*args, **settings)

    def invoke(self, ctx: click.Context) -> Any:
        with _pipes_are_ours():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"archsearch.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            close = get_close_matches(name, _COMMANDS, n=1)
            hint = f"did you mean {close[0]}?" if close else "archsearch --help lists them"
            raise click.UsageError(f"no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: archsearch run --space resnext --flops 20M",
)
@click.version_option(package_name="archsearch")
def app() -> None:
    """Search convolutional network design spaces under exact FLOP budgets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status; of the process's own arguments, if there are none."""
    if arguments is not None:
        return _status_of(arguments)
    import_lean()
    status = _status_of(arguments)
    _end_quietly(status)
    return status


def _end_quietly(status: int) -> None:
    """End the process here where a thread still works, which may abort it as the interpreter goes.

    Such a thread waits for a server that does not answer, or draws in C++; nobody needs what it does.
    """
    main_thread = threading.main_thread()
    if all(thread is main_thread or not thread.daemon for thread in threading.enumerate()):
        return
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # nobody reads it, or it is closed
            stream.flush()
    os._exit(status)


def _status_of(arguments: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # one that knows ASCII only gets ? for ×
            stream.reconfigure(errors="replace")
    if fault := _fault_of(sys.argv[1:] if arguments is None else arguments):
        return _say(fault, 2)
    try:
        os.getcwd()
    except OSError:
        return _say("the working directory is gone; change into one that is there", 2)
    try:
        status = app.main(args=arguments, prog_name="archsearch", standalone_mode=False)
        if sys.stdout is not None:  # closed by whoever started this
            with _pipes_are_ours():
                sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _say("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _say(" ".join(error.format_message().split()), 2)
    except ArchsearchError as error:
        return _say(str(error), error.status)
    except Exception as error:
        return _unforeseen(error)


def _fault_of(arguments: Sequence[str]) -> str:
    """Say what no shell passes as an argument, and click fails over; empty: nothing is there."""
    for argument in arguments:
        if "\0" in argument:
            return "an argument has a NUL character in it"
        try:
            os.fsencode(argument)
        except UnicodeEncodeError:
            return f"an argument has half a character in it: {argument!a}"
    return ""


def _unforeseen(error: Exception) -> int:
    """Say what no command has put into words of its own, and return the exit status."""
    from archsearch.errors import what_failed

    if isinstance(error, _PipeError) and _reader_is_gone():
        from archsearch.report.live import discard

        discard(sys.stdout)  # it (head, say) has seen enough
        return 0
    if os.environ.get("ARCHSEARCH_DEBUG"):
        raise error
    if isinstance(error, PermissionError):
        return _say(f"{what_failed(error)}; ask for it, or give another place", 2)
    fault = error.__cause__ if isinstance(error, _PipeError) else error
    what = " ".join(f"{type(fault).__name__}: {fault}".split())
    return _say(f"{what} (a fault of archsearch; ARCHSEARCH_DEBUG=1 shows where)", 1)


def _reader_is_gone() -> bool:
    """Tell whether nobody reads stdout any more; a pipe to another process may break as well."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(flags & (select.POLLERR | select.POLLHUP) for _, flags in poll.poll(0))


def _say(message: str, status: int) -> int:
    try:
        print(f"archsearch: {printable(without_secrets(message))}", file=sys.stderr, flush=True)
    except OSError:  # nobody reads it: the status says what there is to say
        from archsearch.report.live import discard

        discard(sys.stderr)
    return status
