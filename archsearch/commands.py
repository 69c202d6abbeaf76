"""Commands on a study, as a person copies them from a message."""

import os
import shlex
from pathlib import Path

from archsearch.gathering import ENVIRONMENT_PREFIX


def command(verb: str, study: str, *, home: Path) -> str:
    """Return the command that does `verb` (`resume`, `leaderboard`, …) to a study of a home."""
    return f"archsearch {verb} {shlex.quote(study)}{home_option(home)}"


def home_option(home: Path) -> str:
    """Return ` --home DIR`; nothing where a command finds the home without it."""
    usual = Path(os.environ.get(f"{ENVIRONMENT_PREFIX}HOME") or "mlruns")
    return "" if home.absolute() == usual.absolute() else f" --home {shlex.quote(str(home))}"
