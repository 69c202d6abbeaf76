"""Which study a run is: its name, the one that is there already, or a new one."""

import math
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from archsearch.archive.folder import StudyFolder
from archsearch.archive.store import StudyStore, default_url, study_names
from archsearch.errors import UserError
from archsearch.planning.problem import Prepared
from archsearch.readings.cost import cost
from archsearch.settings import RunSettings, default_study_name, differences, gather
from archsearch.strategy.proposals import facts_of
from archsearch.study.commands import command
from archsearch.study.events import StudyStarted
from archsearch.study.summary import dataset_facts
from archsearch.uris import shown_uri

_PLACE: Final = ("home", "storage", "tracking_uri", "export")
"""Settings that change where results go, not what they are."""


def named(settings: RunSettings, taken: list[str]) -> RunSettings:
    """Fill in a study's name, where it has none: one that is not taken in the storage or the home."""
    if settings.name is not None:
        return settings
    base = default_study_name(settings)
    used = {*taken, *(path.name for path in (Path(settings.home) / "studies").glob("*"))}
    names = (base if n == 1 else f"{base}-{n}" for n in range(1, len(used) + 2))
    return replace(settings, name=next(name for name in names if name not in used))


def check_place(settings: RunSettings) -> None:
    """Refuse a name whose folder in the home holds a study of another storage.

    Raises:
        UserError: there is one; its run.toml and weights would be overwritten.
    """
    home, name = Path(settings.home).absolute(), settings.name
    if name is None or not (path := StudyFolder(home, name).settings).is_file():
        return
    own = default_url(home)
    there = gather({}, config=path).storage or own
    if there != (settings.storage or own):
        raise UserError(
            f"there is a study {name!r} already, in the storage {shown_uri(there)}; "
            f"`{command('resume', name, home=Path(settings.home))}` goes on with it, "
            "--name gives this one another name"
        )


def existing(
    storage: Any, settings: RunSettings, prepared: Prepared, *, resume: bool
) -> StudyStore | None:
    """Return the study to go on with; None where a new one is to be made.

    Raises:
        UserError: there is one already, or its data has changed.
    """
    name = str(settings.name)
    if name not in study_names(storage):
        return None
    store = StudyStore.open(storage, name)
    before = store.attributes["dataset"]["digest"]
    digest = prepared.dataset.digest
    if resume and before != digest:
        raise UserError(
            f"the images of study {name!r} have changed since it began (digest "
            f"{before}, now {digest}); start a new study"
        )
    if not resume:
        other = "; ".join(differences(store.attributes["settings"], _kept(settings)))
        how = f"with other settings ({other})" if other else "with the same settings"
        raise UserError(
            f"there is a study {name!r} already, {how}; "
            f"`{command('resume', name, home=Path(settings.home))}` goes on with it, "
            "--name gives this one another name"
        )
    return store


def create(
    storage: Any, settings: RunSettings, folder: StudyFolder, prepared: Prepared
) -> StudyStore:
    """Make a study in the storage, and its folder's run.toml."""
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    data = dataset_facts(prepared.dataset)
    facts = {"settings": _kept(settings), "dataset": data, "created": created}
    folder.write_settings(settings)
    return StudyStore.create(storage, str(settings.name), facts)


def published_facts(prepared: Prepared, folder: StudyFolder) -> dict[str, Any]:
    """Return what the storage keeps of the published networks to train, by name."""
    found = {}
    for name, graph in prepared.published.items():
        price = cost(graph)
        fill = price.flops / prepared.request.budget.high
        found[name] = {
            "name": name,
            "role": "baseline",
            "origin": "published",
            **facts_of(graph, price, fill=fill, label=name, folder=folder),
        }
    return found


def started(
    settings: RunSettings,
    store: StudyStore | None,
    folder: StudyFolder,
    prepared: Prepared,
) -> StudyStarted:
    """Return what is told of a study as it begins or goes on."""
    if store is not None:
        asked = {**settings.to_dict(), **store.attributes["settings"]}
        settings = RunSettings.from_dict(asked)
    knobs = prepared.space.knobs(prepared.request)
    return StudyStarted(
        study=str(settings.name),
        settings=settings,
        folder=str(folder.path),
        space_title=prepared.space.title,
        distinct=math.prod(len(knob.values()) for knob in knobs),
        input=prepared.dataset.input,
        classes=len(prepared.dataset.classes),
        images={n: len(prepared.dataset.split(n)) for n in ("train", "val", "test")},
        done=0 if store is None else sum(trial.finished for trial in store.trials),
        notes=prepared.dataset.notes,
    )


def _kept(settings: RunSettings) -> dict[str, Any]:
    return {key: value for key, value in settings.to_dict().items() if key not in _PLACE}
