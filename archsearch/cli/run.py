"""Commands that train: run and resume."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from archsearch.cli.options import home_option, json_option, print_json, relax_option

_EXAMPLES = (
    "Examples: archsearch run --space resnext --flops 20M · archsearch run --space vgg --flops 50M "
    "--data photos/ --input 64x64x3 --trials 30 --epochs 20 --name flowers · archsearch run --config "
    "mlruns/studies/flowers/run.toml --name flowers-again · archsearch run --space resnext --flops 4G "
    "--input 224x224x3 --dry-run · archsearch run --space wrn --flops 50M --max-time 2h · archsearch run "
    "--space mobilenet_v2 --flops 50M --max-latency 5ms"
)


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return add


_watching = _options(
    click.option("--quiet", is_flag=True, help="No progress; only the result."),
    click.option("--verbose", is_flag=True, help="The log, with all that libraries say."),
    json_option,
)


@click.command(epilog=_EXAMPLES)
@click.option("--space", metavar="NAME", help="The design space (archsearch spaces lists them).")
@click.option("--flops", metavar="BUDGET", help="4G: a cap to fill; 3.8G:4.2G: a range.")
@click.option("--data", metavar="DATA", help="digits (default), a folder, an .npz, cifar10, …")
@click.option(
    "--input", metavar="HxWxC", help="Image size, or 64; default: what the data suggests."
)
@click.option("--resize", metavar="HOW", help="crop (default) or squash images of other shapes.")
@relax_option
@click.option("--trials", type=click.IntRange(1), help="Networks to try, baseline included.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training images a trial.")
@click.option("--train-flops", metavar="F", help="Training FLOPs of a trial, in place of --epochs.")
@click.option("--max-time", metavar="T", help="Bound of the whole run: 90s, 30min, 2h, 1d.")
@click.option("--search-flops", metavar="F", help="Bound of all training FLOPs together: 1P.")
@click.option("--max-latency", metavar="T", help="What a call of any network may take: 5ms, 0.8ms.")
@click.option("--recipe", metavar="NAME", help="default, or resnet2015: the lecture's schedule.")
@click.option("--batch-size", type=click.IntRange(1), help="Images a step.")
@click.option("--val-every", type=click.IntRange(1), help="Epochs from one validation to the next.")
@click.option("--finalists", type=click.IntRange(1), help="Candidates retrained from scratch.")
@click.option("--seeds", type=click.IntRange(1), help="Seeds each finalist is retrained with.")
@click.option("--baselines", metavar="B", help="matched (default), published, all, none or names.")
@click.option("--class-weights/--no-class-weights", default=None, help="Count all classes alike.")
@click.option("--mirror/--no-mirror", default=None, help="Mirror images in training, or never.")
@click.option("--strict/--no-strict", default=None, help="Refuse data with a single bad image.")
@click.option("--seed", type=click.IntRange(0), help="Of everything random.")
@click.option("--workers", type=click.IntRange(1), help="Trials at the same time.")
@click.option("--workers-per-gpu", type=click.IntRange(1), help="Trials that share a GPU.")
@click.option("--backend", metavar="B", help="auto (default), tensorflow, jax or torch.")
@click.option("--precision", metavar="P", help="auto (default), float32 or bfloat16.")
@click.option("--compile/--no-compile", default=None, help="Fuse training steps, or don't.")
@click.option("--ema", type=float, metavar="DECAY", help="Keep averaged weights: 0.99.")
@click.option("--prune/--no-prune", default=None, help="Stop hopeless trials early.")
@click.option("--export/--no-export", default=None, help="Export the best model at the end.")
@click.option("--name", metavar="STUDY", help="Name of the study.")
@click.option("--storage", metavar="URL", help="Optuna storage; default: a file in the home.")
@click.option("--tracking-uri", metavar="URL", help="MLflow server; default: a file in the home.")
@click.option("--home", metavar="DIR", help="Where runs are kept; default: mlruns.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file; flags win over it.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop; no study is made.")
@_watching
def run(
    config: Path | None, quiet: bool, verbose: bool, as_json: bool, dry_run: bool, **flags: Any
) -> None:
    """Search a design space under a FLOP budget; end with a table and an exported model."""
    from archsearch.settings import gather
    from archsearch.study import driver

    flags["relax"] = ",".join(flags["relax"]) or None
    settings = gather(flags, config=config, environ=os.environ)
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
@click.argument("study")
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
    from archsearch.planning.plan import plan

    with _watched(quiet=quiet, verbose=verbose) as told:
        found = plan(settings, on_event=told)
    if as_json:
        print_json(found.to_dict())
        return
    from archsearch.report.plan import plan_rows
    from archsearch.report.tables import pairs, show

    show(pairs(plan_rows(found)))


@contextmanager
def _watched(*, quiet: bool, verbose: bool) -> Iterator[Any]:
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
    with _watched(quiet=quiet, verbose=verbose) as told:
        result = work(told)
    if as_json:
        print_json(result.to_dict())
        return
    from archsearch.report import results, tables

    tables.show(results.leaderboard(result), *results.ending(result, home=home))
