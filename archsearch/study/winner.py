"""The winner's network and weights, as a model that needs no archsearch."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import read_result, why_no_winner
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.checks import check_study_name
from archsearch.commands import command
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.export import DEFAULT_FORMAT, ExportRequest, why_no_export
from archsearch.exchange.formats.format import file_name
from archsearch.exchange.formats.registry import find_format
from archsearch.exchange.model_process import ModelProcess
from archsearch.study.catalogue import opened_existing, rules_held


class Exporter(Protocol):
    """Exports networks."""

    def export(self, request: ExportRequest) -> Path:
        """Export a network; return where it lies (see archsearch.exchange.export)."""
        ...


def export_study(
    name: str,
    *,
    home: Path,
    form: str = DEFAULT_FORMAT,
    out: Path | None = None,
    overwrite: bool = False,
    storage: str | None = None,
) -> Path:
    """Export a study's winner: its best training by validation.

    Args:
        name: the study.
        home: where the study lies.
        form: the name of an installed format: `saved_model` (a folder), `keras` (one file).
        out: where the model goes; None: into the study's folder, in place of an earlier one there.
        overwrite: replace what is at `out`.
        storage: the study's Optuna storage; None: the one it was made with.

    Returns:
        Where the model lies; it has been reloaded and compared with the trained one.

    Raises:
        UserError: there is no such study, it has no winner yet, `out` is taken, or a package is missing.
        ArchsearchError: the export failed.
    """
    check_study_name(name)
    with opened_existing(name, home=home, storage=storage) as store:
        return export_winner(
            store, StudyFolder(home, name), form=form, out=out, overwrite=overwrite
        )


def export_winner(
    store: StudyStore,
    folder: StudyFolder,
    *,
    form: str = DEFAULT_FORMAT,
    out: Path | None = None,
    overwrite: bool = False,
    exporter: Exporter | None = None,
) -> Path:
    """Export the winner of an open study and return where it lies (see `export_study`).

    `exporter` has TensorFlow at hand already; None: a process of its own.
    """
    found = find_format(form)
    graph, weights = _best_training(store, folder)
    own = out is None
    request = ExportRequest(
        graph=folder.read_graph(graph),
        weights=str(weights),
        dataset=str(_dataset_folder(folder, store)),
        out=str(folder.exports / file_name(found) if out is None else out),
        format=form,
        overwrite=overwrite or own,
        about=json.dumps(_about(store)),
    )
    if (why := why_no_export(found)) is not None:
        again = command("export", store.name, home=folder.home)
        raise UserError(f"{why}, then {again}")
    if exporter is not None:
        path = exporter.export(request)
    else:
        with _log(folder) as log, ModelProcess(log=log) as process:
            path = process.export(request)
    if own:
        exports = {**store.facts.exports, form: str(path)}
        store.keep(replace(store.facts, exports=exports))
    return path


@contextmanager
def _log(folder: StudyFolder) -> Iterator[Path]:
    """Give the file for what libraries print: the study's, or one for now where that may only be read."""
    try:
        folder.worker_logs.mkdir(exist_ok=True)
        folder.models_log.open("a").close()
    except OSError:
        with tempfile.TemporaryDirectory(prefix="archsearch-") as place:
            yield Path(place) / folder.models_log.name
    else:
        yield folder.models_log


def _best_training(store: StudyStore, folder: StudyFolder) -> tuple[str, Path]:
    """Return the hash of the winner's network, and the weights of its best training.

    Raises:
        UserError: there is no winner yet.
        ArchsearchError: the weights are gone.
    """
    result = read_result(store)
    winner, key = result.winner, result.best_key
    if winner is None or key is None:
        if result.status == "failed":
            raise UserError(f"study {store.name!r} has no winner: {why_no_winner(result)}")
        resume = command("resume", store.name, home=folder.home)
        raise UserError(f"study {store.name!r} has no winner yet; `{resume}` brings it to its end")
    weights = folder.weights(key)
    if not weights.is_file():
        raise ArchsearchError(f"the weights of {store.name!r} are gone: {weights} is not there")
    return winner.graph, weights


def _about(store: StudyStore) -> dict[str, Any]:
    """Return what a model is to say of its training, as JSON values: which one it is, what came of all."""
    result = read_result(store)
    winner, facts = result.winner, store.facts
    assert winner is not None
    assert result.best_key is not None
    key = JobKey.parse(result.best_key)
    outcome = store.finals[key]
    scores = {"val": winner.final_val, "test": winner.test}
    findings = winner.findings
    return {
        "network": winner.label,
        "training": {
            "study": store.name,
            "key": result.best_key,
            "seed": key.seed,
            "study_seed": facts.settings.seed,
            "val_accuracy": outcome.val_accuracy,
            "test_accuracy": outcome.test_accuracy,
            "epochs": outcome.epochs,
            "recipe": facts.settings.recipe,
            "backend": facts.settings.backend,
            "precision": facts.settings.precision,
        },
        "finals": {name: score and asdict(score) for name, score in scores.items()},
        "rules": {
            "held": rules_held(store, winner.name),
            "broken": None if findings is None else [[f.rule, f.message] for f in findings],
            "obeyed": winner.obeys,
        },
    }


def _dataset_folder(folder: StudyFolder, store: StudyStore) -> Path:
    path = folder.home / "data" / store.facts.dataset.digest
    if not path.is_dir():
        raise ArchsearchError(
            f"the prepared images of {store.name!r} are gone: {path} is not there; "
            f"`archsearch run` with the same data makes them again"
        )
    return path
