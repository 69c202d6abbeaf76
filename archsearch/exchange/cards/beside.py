"""Where a card lies: in a model's folder, or beside its file, and never in the place of another text."""

from pathlib import Path
from typing import Final

from archsearch.data.dataset import Split
from archsearch.exchange.cards.card import card, marker
from archsearch.exchange.cards.judged import judge
from archsearch.exchange.formats.format import Format, Trained
from archsearch.whole_files import write_whole

NAME: Final = "README.md"
"""What model hubs show."""
_BEGINNING: Final = 200


def write_card(trained: Trained, form: Format, out: Path, test: Split) -> Path:
    """Measure an export, write its card, and return where that lies."""
    path = card_path(out)
    # Inside a folder it is loaded from the folder itself.
    name = "." if out.is_dir() else out.name
    text = card(trained, form, name, judge(form, out, test, trained.classes))
    write_whole(path, text)
    return path


def card_path(out: Path) -> Path:
    """Return the place of an export's card: README.md, unless somebody's own text lies there."""
    if out.is_dir():
        return out / NAME
    path = out.with_name(NAME)
    if not path.exists() or _is_card_of(path, out.name):
        return path
    return out.with_name(f"{out.name}.{NAME}")


def _is_card_of(path: Path, name: str) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return f"\n{marker(name)}\n" in file.read(_BEGINNING + len(name))
