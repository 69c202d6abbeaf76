"""The winner's network and weights, as a model that needs no archsearch."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import (
    StudyResult,
    of_slice,
    read_result,
    why_no_winner,
)
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.checks import check_study_name
from archsearch.commands import command
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.cards.licence import licensed
from archsearch.exchange.checking.agreement import Exported
from archsearch.exchange.export import ExportRequest, check_out, why_no_export
from archsearch.exchange.formats.format import file_name
from archsearch.exchange.formats.registry import find_format, format_for
from archsearch.exchange.model_process import ModelProcess
from archsearch.study.catalogue import opened_existing, rules_held
from archsearch.units import parse_flops


class Exporter(Protocol):
    """Exports networks."""

    def export(self, request: ExportRequest) -> Exported:
        """Export a network (see archsearch.exchange.export)."""
        ...


def export_study(
    name: str,
    *,
    home: Path,
    forms: Sequence[str] = (),
    out: Path | None = None,
    overwrite: bool = False,
    storage: str | None = None,
    on_exported: Callable[[Exported], None] | None = None,
    flops: str | None = None,
    license_name: str | None = None,
) -> tuple[Exported, ...]:
    """Export a study's winner: its best training by validation.

    Args:
        name: the study.
        home: where the study lies.
        forms: names of installed formats; none: the one of the suffix of `out`, else `saved_model`.
        out: where the model goes, or the folder for several; None: into the study's folder.
        overwrite: replace what is at `out`.
        storage: the study's Optuna storage; None: the one it was made with.
        on_exported: hears of each model as soon as it is there.
        flops: of several budgets the one whose best is wanted; None: the winner of all.
        license_name: of the model, for its card; None: not stated.

    Returns:
        What came of each: it has been reloaded and compared with the trained network.

    Raises:
        UserError: there is no such study, it has no winner yet, `out` is taken, or a package is missing.
        ArchsearchError: an export failed; those before it are there.
    """
    check_study_name(name)
    with opened_existing(name, home=home, storage=storage) as store:
        folder = StudyFolder(home, name)
        return export_winner(
            store, folder,
            forms=forms, out=out, overwrite=overwrite, on_exported=on_exported, flops=flops,
            about=licensed(license_name),
        )  # fmt: skip


def export_winner(
    store: StudyStore,
    folder: StudyFolder,
    *,
    forms: Sequence[str] = (),
    out: Path | None = None,
    overwrite: bool = False,
    exporter: Exporter | None = None,
    on_exported: Callable[[Exported], None] | None = None,
    flops: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> tuple[Exported, ...]:
    """Export the winner of an open study (see `export_study`); `about` is what a model says besides.

    `exporter` has TensorFlow at hand already; None: a process of its own.
    """
    result = read_result(store)
    of = ""
    if flops is not None:
        result = of_slice(result, parse_flops(flops))
        of = result.budget
    requests = _requests(
        store, result, folder,
        forms=forms, out=out, overwrite=overwrite, of=of, about=about or {},
    )  # fmt: skip
    made: list[Exported] = []
    with exporting(folder) if exporter is None else nullcontext(exporter) as process:
        for request in requests:
            made.append(process.export(request))
            if out is None:
                what = f"{request.format}, {of}" if of else request.format
                exports = {**store.facts.exports, what: request.out}
                store.keep(replace(store.facts, exports=exports))
            if on_exported is not None:
                on_exported(made[-1])
    return tuple(made)


def _requests(
    store: StudyStore,
    result: StudyResult,
    folder: StudyFolder,
    *,
    forms: Sequence[str],
    out: Path | None,
    overwrite: bool,
    of: str,
    about: Mapping[str, Any],
) -> list[ExportRequest]:
    """Return what is to be exported, `of` one of several budgets; all is checked before any is written."""
    for form in forms:
        find_format(form)  # an unknown one is told first
    graph, weights = _best_training(result, folder)
    whole = ExportRequest(
        graph=folder.read_graph(graph),
        weights=str(weights),
        dataset=str(dataset_folder(folder, store)),
        out=str(folder.exports / of),
        overwrite=overwrite,
        about=json.dumps({**_about(store, result), **about}),
    )
    again = command("export", store.name, home=folder.home)
    requests = in_formats(whole, forms, out=out, again=again)
    if len(requests) > 1:
        for request in requests:
            check_out(request)
    return requests


def in_formats(
    whole: ExportRequest, forms: Sequence[str], *, out: Path | None, again: str
) -> list[ExportRequest]:
    """Return one export in each of several formats.

    Args:
        whole: what is exported; its `out` is the folder where exports lie if nobody says where.
        forms: names of formats; none: what `out` speaks of.
        out: where to, or the folder for several; None: nobody says, and what is there is replaced.
        again: the command that does it once the packages are there.

    Raises:
        UserError: there is no such format, or a package for it is missing.
    """
    found = [find_format(form) for form in dict.fromkeys(forms or [format_for(out)])]
    requests = []
    for form in found:
        if (why := why_no_export(form)) is not None:
            raise UserError(f"{why}, then {again}")
        place = (Path(whole.out) if out is None else out) / file_name(form)
        request = replace(
            whole,
            out=str(place if out is None or len(found) > 1 else out),
            format=form.name,
            overwrite=whole.overwrite or out is None,
        )
        requests.append(request)
    return requests


@contextmanager
def exporting(folder: StudyFolder) -> Iterator[ModelProcess]:
    """Give a process that exports; what libraries print goes into the study's folder, if it can."""
    with _log(folder) as log, ModelProcess(log=log) as process:
        yield process


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


def _best_training(result: StudyResult, folder: StudyFolder) -> tuple[str, Path]:
    """Return the hash of the winner's network, and the weights of its best training.

    Raises:
        UserError: there is no winner yet.
        ArchsearchError: the weights are gone.
    """
    winner, key, study = result.winner, result.best_key, result.study
    if winner is None or key is None:
        if result.status == "failed":
            raise UserError(f"study {study!r} has no winner: {why_no_winner(result)}")
        resume = command("resume", study, home=folder.home)
        raise UserError(f"study {study!r} has no winner yet; `{resume}` brings it to its end")
    weights = folder.weights(key)
    if not weights.is_file():
        raise ArchsearchError(f"the weights of {study!r} are gone: {weights} is not there")
    return winner.graph, weights


def _about(store: StudyStore, result: StudyResult) -> dict[str, Any]:
    """Return what a model is to say of its training, as JSON values: which one it is, what came of all."""
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


def dataset_folder(folder: StudyFolder, store: StudyStore) -> Path:
    """Return where the prepared images of a study lie.

    Raises:
        ArchsearchError: they are gone.
    """
    path = folder.home / "data" / store.facts.dataset.digest
    if not path.is_dir():
        raise ArchsearchError(
            f"the prepared images of {store.name!r} are gone: {path} is not there; "
            f"`archsearch run` with the same data makes them again"
        )
    return path
