"""Where a card lies: in a model's folder, or beside its file, and never in the place of another text."""

from itertools import chain, count
from pathlib import Path
from typing import Final

from archsearch.data.dataset import Split
from archsearch.exchange.cards.card import card, marker
from archsearch.exchange.cards.judged import judge
from archsearch.exchange.formats.format import Format, Trained
from archsearch.whole_files import write_whole

NAME: Final = "README.md"
"""What model hubs show of a folder."""
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
    """Return the place of an export's card: README.md in its folder, else `model.keras.md` beside its file.

    A README.md beside a file would be taken for that of all that lies there. Where somebody's own text has
    the name, the next free one is taken: `model.keras.card.md`, `model.keras.card2.md`.
    """
    if out.is_dir():
        return out / NAME
    numbered = (f".card{number}" for number in count(2))
    for middle in chain(("", ".card"), numbered):
        path = out.with_name(f"{out.name}{middle}.md")
        if not path.exists() or _is_card_of(path, out.name):
            return path
    raise AssertionError("numbers do not end")


def _is_card_of(path: Path, name: str) -> bool:
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return f"\n{marker(name)}\n" in file.read(_BEGINNING + len(name))
