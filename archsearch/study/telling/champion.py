"""The winner as a model for a registry: what was exported, with what is needed to ask it."""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.study_folder import StudyFolder
from archsearch.data.dataset import load
from archsearch.errors import DataError
from archsearch.exchange.formats.format import FACTS_FILE
from archsearch.exchange.formats.saved_model import EXTRA
from archsearch.tracking.records import ModelRecord

_FORMAT: Final = "saved_model"


def model_record(result: StudyResult, folder: StudyFolder) -> ModelRecord | None:
    """Return a study's winner as a model; None: it has none, or its SavedModel is not there.

    Args:
        result: of the study.
        folder: of its files.
    """
    exported = result.exports.get(_FORMAT)
    if result.winner is None or result.best_key is None or exported is None:
        return None
    place = Path(exported)
    card = _card(place)
    if card.get("training", {}).get("key") != result.best_key:
        return None  # of an earlier winner, or moved away
    try:
        images = load(folder.home / "data" / result.dataset.digest).val.images
    except DataError:
        return None
    height, width, channels = result.dataset.input
    return ModelRecord(
        training=result.best_key,
        folder=place.resolve(),
        input=(height, width, channels),
        classes=tuple(card["classes"]),
        example=np.asarray(images[:1]),
        tags=_tags(result),
    )


def _card(place: Path) -> dict[str, Any]:
    """Return what an exported model says of itself; nothing where none is."""
    try:
        found = json.loads((place / EXTRA / FACTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _tags(result: StudyResult) -> dict[str, str]:
    winner = result.winner
    assert winner is not None
    own = {"val_accuracy": result.best_val, "test_accuracy": result.best_test}
    found = {"network": winner.label, "graph": winner.graph}
    return found | {name: f"{value:.4f}" for name, value in own.items() if value is not None}
