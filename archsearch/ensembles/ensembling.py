"""A study's finalists averaged: chosen by validation, judged on test images, exported as one model."""

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row, of_slice, read_result
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.checks import check_study_name
from archsearch.commands import command, home_option
from archsearch.data.dataset import load
from archsearch.data.folds import refolded
from archsearch.ensembles.averaged import averaged, averaged_weights
from archsearch.ensembles.greedy import Labels, Probabilities, accuracy, chosen
from archsearch.ensembles.single import Single, known_single, pattern_of, train_single
from archsearch.errors import UserError
from archsearch.exchange.answers import AnswersRequest, ask
from archsearch.exchange.checking.agreement import Exported
from archsearch.exchange.export import DEFAULT_FORMAT, ExportRequest, check_out
from archsearch.ir.codec import from_json, to_json
from archsearch.study.catalogue import opened_existing
from archsearch.study.events import Event
from archsearch.study.finalists import contenders
from archsearch.study.winner import dataset_folder, exporting, in_formats
from archsearch.training.weights import load_weights, save_weights
from archsearch.units import counted, parse_flops

DEFAULT_TOP: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A finalist, and the training of it that is asked: its own accuracies, on the ensemble's images.

    Attributes:
        key: of the training, such as `final-0007-seed1`.
        label: the design in a few words.
        test: None where there are no test images.
    """

    key: str
    label: str
    flops: int
    params: int
    val: float
    test: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ensemble:
    """Finalists whose probabilities are averaged.

    Attributes:
        members: in the order in which they were chosen.
        flops, params: of all members together.
        val, test: accuracies of the mean; None where there are no test images.
        val_images, test_images: how many these are.
        candidates: how many finalists could be chosen from.
        without: labels of finalists whose weights an earlier version did not keep.
        exports: what was written, loaded again and compared.
        single: one network of that cost, trained by the same recipe; None: none has been.
    """

    study: str
    members: tuple[Member, ...]
    flops: int
    params: int
    val: float
    test: float | None
    val_images: int
    test_images: int
    candidates: int
    without: tuple[str, ...] = ()
    exports: tuple[Exported, ...] = ()
    single: Single | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        exports = [{**asdict(each), "path": str(each.path)} for each in self.exports]
        return {**asdict(self), "exports": exports}


def ensemble(
    study: str,
    *,
    home: Path,
    top: int = DEFAULT_TOP,
    forms: Sequence[str] = (DEFAULT_FORMAT,),
    out: Path | None = None,
    overwrite: bool = False,
    flops: str | None = None,
    single: bool = False,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Ensemble:
    """Average a study's finalists, chosen greedily on validation images, and export the mean as one model.

    Args:
        study: its name.
        home: where it lies.
        top: members at most.
        forms: names of installed formats.
        out: where the model goes, or the folder for several; None: into the study's folder.
        overwrite: replace what is there.
        flops: of several budgets the one whose finalists are meant; None: those of all.
        single: train one network of the ensemble's FLOPs by the same recipe, in a study of its own.
        on_event: told of that training.

    Raises:
        UserError: there is no such study, fewer than two finalists have weights, or `out` is taken.
        ArchsearchError: something of the study is gone or damaged, or an export failed.
    """
    _check(study, top)
    folder = StudyFolder(home, study)
    with opened_existing(study, home=home) as store:
        wanted = _wanted(store, folder, forms, out=out, overwrite=overwrite)
        able, without = _able(store, folder, flops)
        found, parts = _asked(store, folder, able, top)
        found = replace(found, without=without, exports=_exported(folder, wanted, parts, found))
        pattern = pattern_of(store, *parts[0])
    if single:
        train_single(pattern, home, found.flops, seeds=len(parts), on_event=on_event)
    return replace(found, single=known_single(study, home=home, flops=found.flops))


def _check(study: str, top: int) -> None:
    check_study_name(study)
    if top < 2:
        raise UserError(f"top is {top}; an ensemble has 2 members at least")


def _wanted(
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


def _able(
    store: StudyStore, folder: StudyFolder, flops: str | None
) -> tuple[list[tuple[Row, JobKey]], tuple[str, ...]]:
    """Return who can be a member, and the labels of those whose weights are not there.

    Raises:
        UserError: fewer than two can.
    """
    result, study = read_result(store), store.name
    if store.facts.training is not None:
        raise UserError(
            f"study {study!r} trains one network; an ensemble is of a search's finalists"
        )
    if flops is not None:
        result = of_slice(result, parse_flops(flops))
    found = contenders(store, result)
    there = [(row, key) for row, key in found if folder.weights(str(key)).is_file()]
    lacking = tuple(row.label for row, key in found if not folder.weights(str(key)).is_file())
    if len(there) >= 2:
        return there, lacking
    if lacking:
        kept = there[0][0].label if there else "none"
        config, name = shlex.quote(str(folder.settings)), shlex.quote(f"{study}-again")
        again = f"archsearch run --config {config} --name {name}{home_option(folder.home)}"
        raise UserError(
            f"study {study!r} kept weights of {counted(len(there), 'finalist')} ({kept}) and not of "
            f"{', '.join(lacking)}, as an earlier version did; a new study keeps them: {again}"
        )
    hint = "a study with --finalists 3 has more"
    if result.status != "complete":
        hint = f"`{command('resume', study, home=folder.home)}` brings it to its end"
    raise UserError(
        f"study {study!r} has {counted(len(there), 'finalist')} to average, wanted 2 or more; {hint}"
    )


def _asked(
    store: StudyStore, folder: StudyFolder, able: Sequence[tuple[Row, JobKey]], top: int
) -> tuple[Ensemble, list[tuple[Row, JobKey]]]:
    """Return the ensemble as it was chosen and judged, and its members' rows and trainings."""
    place = dataset_folder(folder, store)
    # All have trained on one split (see `contenders`).
    fold = store.facts.settings.fold(
        able[0][1].seed, val_images=store.facts.dataset.splits.get("val", 0)
    )
    request = AnswersRequest(graph="", weights="", dataset=str(place), fold=fold, every=True)
    requests = [
        replace(request, graph=folder.read_graph(row.graph), weights=str(folder.weights(str(key))))
        for row, key in able
    ]
    val = [answered.probabilities for answered in ask([replace(r, split="val") for r in requests])]
    data = load(place)
    labels = np.asarray(refolded(data, fold).val.labels, np.int64)
    taken = chosen(val, labels, most=top)
    # Test images are looked at once the members are known.
    test = [
        answered.probabilities
        for answered in ask([replace(requests[i], split="test", fold=0) for i in taken])
    ]
    test_labels = np.asarray(data.test.labels, np.int64)
    members = [
        _member(*able[i], accuracy(val[i], labels), _accuracy([own], test_labels))
        for i, own in zip(taken, test, strict=True)
    ]
    found = Ensemble(
        study=store.name,
        members=tuple(members),
        flops=sum(member.flops for member in members),
        params=sum(member.params for member in members),
        val=accuracy(np.mean([val[i] for i in taken], axis=0), labels),
        test=_accuracy(test, test_labels),
        val_images=len(labels),
        test_images=len(test_labels),
        candidates=len(able),
    )
    return found, [able[i] for i in taken]


def _member(row: Row, key: JobKey, val: float, test: float | None) -> Member:
    return Member(
        key=str(key), label=row.label, flops=row.flops, params=row.params, val=val, test=test
    )


def _accuracy(members: Sequence[Probabilities], labels: Labels) -> float | None:
    return accuracy(np.mean(members, axis=0), labels) if len(labels) else None


def _exported(
    folder: StudyFolder,
    wanted: Sequence[ExportRequest],
    parts: Sequence[tuple[Row, JobKey]],
    found: Ensemble,
) -> tuple[Exported, ...]:
    """Export the members as one network, and return what came of it."""
    graphs = [from_json(folder.read_graph(row.graph)) for row, _ in parts]
    own = [load_weights(folder.weights(str(key))) for _, key in parts]
    whole = averaged(graphs, f"ensemble of {len(parts)} of {found.study}")
    graph, about = to_json(whole), json.dumps(_about(found))
    with TemporaryDirectory(prefix="archsearch-") as place, exporting(folder) as process:
        weights = Path(place) / "weights.npz"
        save_weights(averaged_weights(graphs, own), weights)
        return tuple(
            process.export(replace(one, graph=graph, weights=str(weights), about=about))
            for one in wanted
        )


def _about(found: Ensemble) -> dict[str, Any]:
    """Return what the model is to say of itself, as JSON values."""
    return {
        "network": f"ensemble of {len(found.members)} networks",
        "members": {
            "study": found.study,
            "keys": [member.key for member in found.members],
            "val_accuracy": found.val,
            "test_accuracy": found.test,
        },
    }
