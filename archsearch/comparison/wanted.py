"""How the studies of a comparison are asked for: what all have, and what a user may choose."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from archsearch.errors import UserError
from archsearch.fields import Setting, Value, as_shown
from archsearch.gathering import ENVIRONMENT_PREFIX, gather
from archsearch.settings import SETTINGS, RunSettings, default_study_name
from archsearch.units import format_count, parse_duration, parse_flops

DECIDED: Final[Mapping[str, Value]] = MappingProxyType(
    {
        "fidelity": "none", "prune": False, "baselines": "none", "finalists": 0, "export": False,
    }
)  # fmt: skip
"""What all of them have: every network trains in full, once, and none is chosen."""
_WITHOUT: Final = (
    "space", "relax", "slices", "sampler", "max_latency", "seeds", "folds", "train_winner", "prior",
    *DECIDED,
)  # fmt: skip


NETWORKS: Final = 20
"""Networks drawn of a space where nothing is said."""
_TRIALS: Final = f"Networks to draw of each space; usual: {NETWORKS}."


def own_settings(*without: str) -> list[Setting]:
    """Return the settings that can be asked of them, in the order of `--help`, but for some."""
    return [
        replace(known, declared=replace(known.declared, help=_TRIALS))
        if known.name == "trials"
        else known
        for known in as_shown(SETTINGS.values())
        if known.belongs_to("run") and known.name not in (*_WITHOUT, *without)
    ]


def asked(
    flags: Mapping[str, Any], environ: Mapping[str, str], *, purpose: str, studies: int
) -> RunSettings:
    """Return the settings of one of several studies, its name among them.

    Args:
        flags: what is asked for; `space`, `sampler` and more as one of them has it. A name begins the
            study's name, a bound is that of all studies together.
        environ: variables.
        purpose: what begins the study's name where no name is given.
        studies: how many share the bounds.

    Raises:
        UserError: something asked for does not work.
    """
    ignored = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in _WITHOUT}
    left = {key: value for key, value in environ.items() if key not in ignored}
    found = gather({**flags, **DECIDED}, environ=left)
    if found.budgets():
        raise UserError(
            f"networks are compared at one budget, not at {found.flops}; give one --flops"
        )
    base = f"{purpose}-{default_study_name(found)}"
    if found.name is not None:
        rule = f"-{found.relax}" if found.relax else ""
        base = f"{found.name}-{found.space}{rule}"
    return replace(
        found,
        name=base[:80],
        max_time=found.max_time and f"{max(1, int(parse_duration(found.max_time) / studies))}s",
        search_flops=found.search_flops
        and format_count(parse_flops(found.search_flops) / studies, digits=4),
    )


def given_by(flags: Mapping[str, Any], environ: Mapping[str, str], *names: str) -> bool:
    """Say whether any of some settings is given, by a flag or a variable."""
    return any(
        name in flags or environ.get(f"{ENVIRONMENT_PREFIX}{name.upper()}") for name in names
    )
