"""Commands that compare: spaces with one another, networks with and without a design rule."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from archsearch.cli.completion import of_ablated, of_compared, of_space
from archsearch.cli.options import WholeNumber, home_option, json_option, print_json, setting_option
from archsearch.cli.run import watched
from archsearch.comparison.wanted import own_settings


def _settings(*without: str) -> Callable[[Any], Any]:
    """Return the flags of the studies that a comparison is made of."""

    def add(function: Any) -> Any:
        for setting in reversed(own_settings("home", *without)):
            function = setting_option(setting)(function)
        return function

    return add


def _watching(function: Any) -> Any:
    quiet = click.option("--quiet", is_flag=True, help="No progress; only the result.")
    verbose = click.option("--verbose", is_flag=True, help="The log, with all that libraries say.")
    return quiet(verbose(home_option(json_option(function))))


@click.command(
    epilog="Examples: archsearch compare vgg resnet resnext wrn --flops 10M · archsearch compare "
    "resnext-20M-digits vgg-20M-digits --json"
)
@click.argument(
    "names", nargs=-1, required=True, metavar="STUDY_OR_SPACE…", shell_complete=of_compared
)
@_settings("margin")
@_watching
def compare(
    names: tuple[str, ...], home: Path, quiet: bool, verbose: bool, as_json: bool, **flags: Any
) -> None:
    """Compare design spaces as distributions of error; below, the best of each study and its classic.

    Of a space, networks are drawn by chance and trained (--trials, 20 of each), in a study of its own.
    Interrupted, the same command goes on. Studies that are there are taken as they are.
    """
    from archsearch.comparison.draws import results_of
    from archsearch.gathering import read_parts
    from archsearch.report import analysis

    flags["recipe_parts"] = read_parts(flags["recipe_parts"])
    with watched(quiet=quiet, verbose=verbose) as told:
        results = results_of(
            names, flags={**flags, "home": str(home)}, environ=os.environ, on_event=told
        )
    found = analysis.compare(results)
    if as_json:
        print_json(found.to_dict())
        return
    from archsearch.report import contrasts, tables
    from archsearch.report import results as shown

    spread = () if found.distributions is None else contrasts.distributions(found.distributions)
    tables.show(*spread, shown.comparison(found))


@click.command(
    epilog="Examples: archsearch ablate --rule channel-doubling --space resnet --flops 20M · archsearch "
    "ablate --rule all --space resnext --flops 50M --data photos/ --max-time 8h"
)
@click.option(
    "--rule",
    "rules",
    multiple=True,
    required=True,
    metavar="RULE",
    shell_complete=of_ablated,
    help="A design rule of the space, or all that it can free; repeatable.",
)
@click.option(
    "--space", required=True, metavar="NAME", shell_complete=of_space, help="The design space."
)
@click.option(
    "--pairs", type=WholeNumber(1, 5000), help="Pairs of networks a rule, at most; usual: 30."
)
@_settings("trials")
@_watching
def ablate(
    rules: tuple[str, ...],
    space: str,
    pairs: int | None,
    home: Path,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Measure what a design rule is worth: the same networks with it held and freed, at equal FLOPs.

    Networks are drawn by chance in pairs of the same knobs and seed. Trainings end once the effect is surely
    not 0, or surely within --margin. Interrupted, the same command goes on.
    """
    from archsearch.comparison.ablation import ablate as measure
    from archsearch.gathering import read_parts

    flags["recipe_parts"] = read_parts(flags["recipe_parts"])
    with watched(quiet=quiet, verbose=verbose) as told:
        found = measure(
            rules, flags={**flags, "space": space, "home": str(home)}, environ=os.environ,
            pairs=pairs, on_event=told,
        )  # fmt: skip
    if as_json:
        print_json(found.to_dict())
        return
    from archsearch.report import contrasts, tables

    tables.show(contrasts.ablations(found))
