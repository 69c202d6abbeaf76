"""The full training that follows a search: of its winner, in a study of its own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.lock import locked
from archsearch.archive.study_folder import StudyFolder, free_name, kept_studies
from archsearch.gathering import gather
from archsearch.settings import RunSettings
from archsearch.study.catalogue import opened_existing
from archsearch.study.in_full.subject import full_name, inherited

_SHARED = (
    "home", "storage", "tracking_uri", "export", "engine", "address", "backend", "precision",
)  # fmt: skip
"""Settings of the search's process that hold for the training, too, beside what it inherits."""


def followed(
    result: StudyResult,
    settings: RunSettings,
    *,
    train: Callable[[RunSettings], StudyResult],
    resume: Callable[[str], StudyResult],
) -> StudyResult:
    """Return a search's result with the full training of its winner, where `train_winner` asks for one.

    Its name is kept with the search before it begins, so that whoever goes on with the search goes on
    with this one.

    Args:
        result: of the search.
        settings: of its process.
        train: begins a full training and brings it to its end.
        resume: goes on with the one of that name.
    """
    epochs = result.settings.train_winner
    if epochs is None or result.winner is None:
        return result
    home = Path(settings.home)
    name = _kept_name(result.study, home)
    if StudyFolder(home, name).settings.is_file():
        return replace(result, trained=resume(name))
    return replace(result, trained=train(_settings(result.study, name, epochs, settings)))


def _kept_name(study: str, home: Path) -> str:
    """Return the name of the full training that follows a search: the one it has been given, or a new one."""
    folder = StudyFolder(home, study)
    with locked(folder.lock, study=study), opened_existing(study, home=home) as store:
        if not store.facts.trained:
            name = free_name(full_name(study), kept_studies(home))
            store.keep(replace(store.facts, trained=name))
        return store.facts.trained


def _settings(study: str, name: str, epochs: int, settings: RunSettings) -> RunSettings:
    """Return the settings of the full training."""
    own = {key: value for key, value in settings.to_dict().items() if key in _SHARED}
    asked = {**own, "network": study, "name": name, "epochs": epochs}
    base = inherited(RunSettings(network=study, home=str(settings.home)))
    return gather(asked, study=base)
