"""From names to studies: those that are there, and of a space networks drawn by chance and trained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.study_folder import kept_studies
from archsearch.comparison.members import brought_to_its_end, check_all
from archsearch.comparison.wanted import NETWORKS, asked, given_by
from archsearch.errors import UserError
from archsearch.settings import RunSettings, nearest
from archsearch.space.registry import find_space, load_spaces
from archsearch.study.catalogue import load_result
from archsearch.study.events import Event
from archsearch.study.ports import Services


def results_of(
    names: Sequence[str],
    *,
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> list[StudyResult]:
    """Return the studies of those names; of a space's name one of networks drawn by chance, at its end.

    Args:
        names: studies of the home, or else spaces.
        flags: settings by name, for the spaces; those that are None were not given. `home` counts for all.
        environ: variables.
        on_event: told what happens.
        services: the outside world; None: the real one.

    Raises:
        UserError: nothing has that name; or something asked for does not work.
        Interrupted: the user stopped it; the same command goes on.
    """
    home = Path(flags.get("home") or "mlruns")
    drawn = [name for name in dict.fromkeys(names) if name not in kept_studies(home)]
    given = {key: value for key, value in flags.items() if value not in (None, {})}
    if not drawn and (idle := sorted(set(given) - {"home", "name"})):
        raise UserError(
            f"{', '.join(idle)}: these are studies, and only spaces are drawn and trained; leave it out"
        )
    wanted = _wanted(drawn, given, environ, home)
    check_all(wanted.values(), on_event=on_event, services=services)
    return [
        brought_to_its_end(wanted[name], on_event=on_event, services=services)
        if name in wanted
        else load_result(name, home=home)
        for name in dict.fromkeys(names)
    ]


def _wanted(
    drawn: Sequence[str], given: Mapping[str, Any], environ: Mapping[str, str], home: Path
) -> dict[str, RunSettings]:
    """Return the settings of each space's study."""
    for name in drawn:
        _check_space(name, home)
    if drawn and not given_by(given, environ, "flops"):
        raise UserError(
            f"{drawn[0]} is a space: --flops says at which budget its networks are drawn, as --flops 20M"
        )
    said = given_by(given, environ, "trials", "max_time", "search_flops")
    usual = {} if said else {"trials": NETWORKS}
    return {
        name: asked(
            {**usual, **given, "space": name, "sampler": "random"},
            environ, purpose="compare", studies=len(drawn),
        )
        for name in drawn
    }  # fmt: skip


def _check_space(name: str, home: Path) -> None:
    """Refuse what is neither a study nor a space."""
    try:
        find_space(name)
    except UserError:
        if "," in name:
            raise
        hint = nearest(name, (*kept_studies(home), *load_spaces()))
        raise UserError(f"no study {name!r} in {home}, and no such space; {hint}") from None
