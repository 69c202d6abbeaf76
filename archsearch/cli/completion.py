"""What the Tab key offers: the names of studies, spaces, baselines, rules and of what else is installed."""

import os
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, TypeAlias

from click import Context, Parameter
from click.shell_completion import CompletionItem

from archsearch.errors import ArchsearchError

Completer: TypeAlias = Callable[[Context, Parameter, str], list[CompletionItem]]
Names: TypeAlias = Callable[[Context], Iterable[str]]


def completing(*sources: Names, listed: bool = False, files: bool = False) -> Completer:
    """Return what offers the names of these sources that begin with what was typed.

    Args:
        sources: where names come from.
        listed: whether names may stand in a list, separated by commas.
        files: whether a file may be meant, where no name is.
    """

    def complete(ctx: Context, param: Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if listed else ("", "", incomplete)
        try:
            names = [name for source in sources for name in source(ctx) if name.startswith(last)]
        except ArchsearchError:
            names = []  # a package that does not load is told when a command is run
        found = [CompletionItem(f"{before}{comma}{name}") for name in dict.fromkeys(sorted(names))]
        return found or ([CompletionItem(incomplete, type="file")] if files else [])

    return complete


def installed(group: str, *more: str) -> Names:
    """Return a source of the names of entry points, which are not loaded for it."""
    return lambda ctx: [*more, *(point.name for point in entry_points(group=group))]


def study_names(ctx: Context) -> Iterable[str]:
    """Return the studies in the home that was given, or in the usual one."""
    from archsearch.archive.study_folder import kept_studies

    home = ctx.params.get("home") or os.environ.get("ARCHSEARCH_HOME") or "mlruns"
    return kept_studies(Path(home))


def baseline_names(ctx: Context) -> Iterable[str]:
    """Return the classic networks."""
    from archsearch.space.registry import load_baselines

    return load_baselines()


def rule_names(ctx: Context) -> Iterable[str]:
    """Return the design rules."""
    from archsearch.rules.registry import load_rules

    return load_rules()


def freed_names(ctx: Context) -> Iterable[str]:
    """Return the rules that the space can free; where none is named yet, those that any can."""
    from archsearch.space.registry import find_space, load_spaces

    named = ctx.params.get("space")
    spaces = [find_space(named)] if named else load_spaces().values()
    return {rule for space in spaces for rule in space.relaxable}


def _recipe_names(ctx: Context) -> Iterable[str]:
    from archsearch.recipes.named import recipe_names

    return recipe_names()


SPACES: Final = installed("archsearch.spaces")

of_study: Final = completing(study_names)
of_compared: Final = completing(study_names, SPACES)
of_space: Final = completing(SPACES, listed=True)
of_rule: Final = completing(rule_names)
of_freed: Final = completing(freed_names)
of_ablated: Final = completing(freed_names, lambda ctx: ("all",))
of_format: Final = completing(installed("archsearch.formats"))
of_network: Final = completing(baseline_names, files=True)
of_checked: Final = completing(baseline_names, study_names, files=True)
of_trained: Final = completing(baseline_names, study_names, SPACES, files=True)

OF_SETTINGS: Final[Mapping[str, Completer]] = {
    "space": of_space,
    "relax": of_freed,
    "data": completing(lambda ctx: ("digits",), files=True),
    "recipe": completing(_recipe_names),
    "sampler": completing(installed("archsearch.samplers")),
    "fidelity": completing(installed("archsearch.fidelities", "auto")),
    "engine": completing(installed("archsearch.engines")),
}
"""By setting, for the flags that take a name."""
