"""An ensemble as one model: its networks, in all their views, in one Graph with all their weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.commands import command
from archsearch.ensembles.averaged import averaged, averaged_weights
from archsearch.ensembles.makeup import Ensemble
from archsearch.ensembles.views import viewing
from archsearch.exchange.checking.agreement import Exported
from archsearch.exchange.export import ExportRequest, check_out
from archsearch.ir.codec import from_json, to_json
from archsearch.ir.graph import Graph
from archsearch.study.winner import dataset_folder, exporting, in_formats
from archsearch.training.weights import Weights, load_weights, save_weights


def wanted_exports(
    store: StudyStore,
    folder: StudyFolder,
    forms: Sequence[str],
    *,
    out: Path | None,
    overwrite: bool,
) -> list[ExportRequest]:
    """Return what is to be exported but for the network, which is known later; places are checked now."""
    whole = ExportRequest(
        graph="",
        weights="",
        dataset=str(dataset_folder(folder, store)),
        out=str(folder.exports / "ensemble"),
        overwrite=overwrite,
    )
    again = command("ensemble", store.name, home=folder.home)
    requests = in_formats(whole, forms, out=out, again=again)
    for request in requests:
        check_out(request)
    return requests


def export_members(
    folder: StudyFolder,
    wanted: Sequence[ExportRequest],
    parts: Sequence[tuple[Row, JobKey]],
    found: Ensemble,
    *,
    about: Mapping[str, Any],
) -> tuple[Exported, ...]:
    """Export the members as one network, and return what came of it; `about` is what it says besides."""
    graphs: list[Graph] = []
    own: list[Weights] = []
    for row, key in parts:
        graph = from_json(folder.read_graph(row.graph))
        graphs += [viewing(graph, view) for view in found.views]
        own += [load_weights(folder.weights(str(key)))] * len(found.views)
    whole, weights = graphs[0], own[0]
    if len(graphs) > 1:
        whole = averaged(graphs, f"{found.name} of {found.study}")
        weights = averaged_weights(graphs, own)
    text, says = to_json(whole), json.dumps({**_about(found), **about})
    with TemporaryDirectory(prefix="archsearch-") as place, exporting(folder) as process:
        kept = Path(place) / "weights.npz"
        save_weights(weights, kept)
        return tuple(
            process.export(replace(one, graph=text, weights=str(kept), about=says))
            for one in wanted
        )


def _about(found: Ensemble) -> dict[str, Any]:
    """Return what the model is to say of itself, as JSON values."""
    return {
        "network": found.name,
        "members": {
            "study": found.study,
            "keys": [member.key for member in found.members],
            "views": [str(view) for view in found.views],
            "val_accuracy": found.val,
            "test_accuracy": found.test,
        },
    }
