"""Commands that train: run, train and resume."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.cli.completion import of_study, of_trained
from archsearch.cli.options import home_option, json_option, print_json, setting_option
from archsearch.fields import as_shown
from archsearch.settings import SETTINGS

if TYPE_CHECKING:
    from archsearch.settings import RunSettings

_EXAMPLES = (
    "Examples: archsearch run --space resnext --flops 20M · archsearch run --space vgg --flops 50M "
    "--data photos/ --input 64x64x3 --trials 30 --epochs 20 --name flowers · archsearch run --config "
    "mlruns/studies/flowers/run.toml --name flowers-again · archsearch run --space resnext --flops 4G "
    "--input 224x224x3 --dry-run · archsearch run --space wrn --flops 50M --max-time 2h · archsearch run "
    "--space mobilenet_v2 --flops 50M --max-latency 5ms"
)

_TRAININGS = (
    "Examples: archsearch train resnext-20M-digits · archsearch train resnext-20M-digits --place 2 "
    "--epochs 100 --seeds 3 --on train+val · archsearch train resnet20_cifar --data cifar10 --epochs 200 "
    "--recipe resnet2015 · archsearch train mine.keras --data photos/ --max-time 2h · archsearch train "
    "resnet --flops 20M --dry-run"
)


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def _asked(command: str) -> Callable[[Any], Any]:
    """Return the options with which a command is asked for a study."""
    own = (s for s in as_shown(SETTINGS.values()) if command in s.declared.commands)
    return _options(
        *map(setting_option, own),
        click.option(
            "--config", type=click.Path(path_type=Path), help="Settings file; flags win over it."
        ),
        click.option("--dry-run", is_flag=True, help="Show the plan and stop; no study is made."),
    )


_watching = _options(
    click.option("--quiet", is_flag=True, help="No progress; only the result."),
    click.option("--verbose", is_flag=True, help="The log, with all that libraries say."),
    json_option,
)


@click.command(epilog=_EXAMPLES)
@_asked("run")
@_watching
def run(
    config: Path | None, quiet: bool, verbose: bool, as_json: bool, dry_run: bool, **flags: Any
) -> None:
    """Search a design space under a FLOP budget; end with a table and an exported model."""
    from archsearch.gathering import gather, read_parts

    flags["relax"] = ",".join(flags["relax"]) or None
    flags["recipe_parts"] = read_parts(flags["recipe_parts"])
    settings = gather(flags, config=config, environ=os.environ)
    _run(settings, dry_run, quiet=quiet, verbose=verbose, as_json=as_json)


@click.command(epilog=_TRAININGS)
@click.argument("network", required=False, shell_complete=of_trained)
@_asked("train")
@_watching
def train(
    network: str | None,
    config: Path | None,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    dry_run: bool,
    **flags: Any,
) -> None:
    """Train NETWORK from scratch in full: a study's winner, a baseline, or the network of a file.

    Of a study come its images and its recipe, where nothing else is said. With --flops NETWORK is a space:
    its classic at that budget is trained.
    """
    from archsearch.gathering import gather, read_parts
    from archsearch.study.in_full.subject import inherited

    flags["recipe_parts"] = read_parts(flags["recipe_parts"])
    if network is not None or config is None:
        flags["network"] = network or ""
    asked = gather(flags, config=config, environ=os.environ)
    study = inherited(asked)
    settings = gather(flags, config=config, environ=os.environ, study=study)
    _run(settings, dry_run, quiet=quiet, verbose=verbose, as_json=as_json)


def _run(
    settings: "RunSettings", dry_run: bool, *, quiet: bool, verbose: bool, as_json: bool
) -> None:
    """Begin a study, or show its plan."""
    from archsearch.study import driver

    if dry_run:
        _plan(settings, quiet=quiet, verbose=verbose, as_json=as_json)
        return
    _watch(
        lambda on_event: driver.run(settings, on_event=on_event),
        home=Path(settings.home),
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


@click.command(epilog="Example: archsearch resume resnext-20M-digits")
@click.argument("study", shell_complete=of_study)
@click.option("--max-time", metavar="T", help="A new bound, counted from now: 30min, 2h.")
@home_option
@_watching
def resume(
    study: str, max_time: str | None, home: Path, quiet: bool, verbose: bool, as_json: bool
) -> None:
    """Go on with a study that was interrupted or had too little time, from where it was."""
    from archsearch.study import driver

    _watch(
        lambda on_event: driver.resume(study, home=home, max_time=max_time, on_event=on_event),
        home=home,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
    )


def _plan(settings: Any, *, quiet: bool, verbose: bool, as_json: bool) -> None:
    from archsearch.study.dry_run import plan

    with watched(quiet=quiet, verbose=verbose) as told:
        found = plan(settings, on_event=told)
    if as_json:
        print_json(found.to_dict())
        return
    from archsearch.report.plan import plan_rows
    from archsearch.report.tables import pairs, show

    show(pairs(plan_rows(found)))


@contextmanager
def watched(*, quiet: bool, verbose: bool) -> Iterator[Any]:
    """Give what is to be told of events: the view and the log."""
    from archsearch.report.live import open_view
    from archsearch.report.log import StudyLog

    if quiet and verbose:
        raise click.UsageError("--quiet and --verbose exclude each other")
    if verbose:
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "INFO")
    with (
        open_view(quiet=quiet, verbose=verbose) as view,
        StudyLog(view, verbose=verbose) as log,
    ):
        yield log


def _watch(
    work: Callable[[Any], Any], *, home: Path, quiet: bool, verbose: bool, as_json: bool
) -> None:
    with watched(quiet=quiet, verbose=verbose) as told:
        result = work(told)
    if as_json:
        print_json(result.to_dict())
        return
    from archsearch.report import results, tables
    from archsearch.study.opening import stored_settings

    uri = stored_settings(result.study, home).tracking_uri
    tables.show(*results.tables(result), *results.ending(result, home=home, tracking_uri=uri))
