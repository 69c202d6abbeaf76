"""A study's finalists averaged: chosen by validation, judged on test images, exported as one model."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row, of_slice, read_result
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.checks import check_study_name
from archsearch.commands import command, home_option
from archsearch.data.dataset import load
from archsearch.data.folds import refolded
from archsearch.ensembles.exporting import export_members, wanted_exports
from archsearch.ensembles.greedy import Labels, Probabilities, accuracy, chosen
from archsearch.ensembles.makeup import Ensemble, Member
from archsearch.ensembles.single import known_single, pattern_of, train_single
from archsearch.ensembles.views import PLAIN, View, viewing
from archsearch.errors import UserError
from archsearch.exchange.answers import AnswersRequest, ask
from archsearch.exchange.cards.licence import licensed
from archsearch.ir.codec import from_json, to_json
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.study.catalogue import opened_existing
from archsearch.study.events import Event
from archsearch.study.finalists import contenders
from archsearch.study.winner import dataset_folder
from archsearch.units import counted, parse_flops

DEFAULT_TOP: Final = 3


def ensemble(
    study: str, *, home: Path, top: int = DEFAULT_TOP, views: tuple[View, ...] = (PLAIN,),
    forms: Sequence[str] = (), out: Path | None = None, overwrite: bool = False,
    flops: str | None = None, single: bool = False, license_name: str | None = None,
    on_event: Callable[[Event], None] = lambda event: None,
) -> Ensemble:  # fmt: skip
    """Average a study's finalists, chosen greedily on validation images, and export the mean as one model.

    Where validation images are told apart best by one network alone, that one is the model.

    Args:
        study: its name.
        home: where it lies.
        top: members at most.
        views: how every member looks at an image (see `views_of`).
        forms: names of installed formats; none: what `out` speaks of by its suffix, else `saved_model`.
        out: where the model goes, or the folder for several; None: into the study's folder.
        overwrite: replace what is there.
        flops: of several budgets the one whose finalists are meant; None: those of all.
        single: train one network of the ensemble's FLOPs by the same recipe, in a study of its own.
        license_name: of the model, for its card.
        on_event: told of that training.

    Raises:
        UserError: no such study, too few finalists with weights, no such view of one, or `out` is taken.
        ArchsearchError: something of the study is gone or damaged, or an export failed.
    """
    _check(study, top)
    folder, licence = StudyFolder(home, study), licensed(license_name)
    with opened_existing(study, home=home) as store:
        wanted = wanted_exports(store, folder, forms, out=out, overwrite=overwrite)
        able, without = _able(store, folder, flops, least=1 if len(views) > 1 else 2)
        found, parts = _asked(store, folder, able, top, views)
        exports = export_members(folder, wanted, parts, found, about=licence)
        found = replace(found, without=without, exports=exports)
        pattern = pattern_of(store, *parts[0])
    if single:
        train_single(pattern, home, found.flops, seeds=len(parts), on_event=on_event)
    return replace(found, single=known_single(study, home=home, flops=found.flops))


def _check(study: str, top: int) -> None:
    check_study_name(study)
    if top < 1:
        raise UserError(f"top is {top}; an ensemble has 1 member at least")


def _able(
    store: StudyStore, folder: StudyFolder, flops: str | None, *, least: int
) -> tuple[list[tuple[Row, JobKey]], tuple[str, ...]]:
    """Return who can be a member, and the labels of those whose weights are not there.

    Raises:
        UserError: fewer than `least` can.
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
    if len(there) >= least:
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
        f"study {study!r} has {counted(len(there), 'finalist')} to average, wanted {least} or more; {hint}"
    )


def _asked(
    store: StudyStore,
    folder: StudyFolder,
    able: Sequence[tuple[Row, JobKey]],
    top: int,
    views: tuple[View, ...],
) -> tuple[Ensemble, list[tuple[Row, JobKey]]]:
    """Return the ensemble as it was chosen and judged, and its members' rows and trainings."""
    place = dataset_folder(folder, store)
    # All have trained on one split (see `contenders`).
    fold = store.facts.settings.fold(
        able[0][1].seed, val_images=store.facts.dataset.splits.get("val", 0)
    )
    asking = AnswersRequest(graph="", weights="", dataset=str(place), fold=fold, every=True)
    # Every request is a network in one view.
    seen = [[viewing(from_json(folder.read_graph(r.graph)), v) for v in views] for r, _ in able]
    requests = [
        [replace(asking, graph=to_json(g), weights=str(folder.weights(str(key)))) for g in graphs]
        for graphs, (_, key) in zip(seen, able, strict=True)
    ]
    val = _answers([[replace(one, split="val") for one in each] for each in requests])
    data = load(place)
    labels = np.asarray(refolded(data, fold).val.labels, np.int64)
    taken = chosen([np.mean(each, axis=0) for each in val], labels, most=top)
    # Test images are looked at once the members are known.
    test = _answers([[replace(one, split="test", fold=0) for one in requests[i]] for i in taken])
    found = _judged(
        store.name,
        [(*able[i], seen[i]) for i in taken],
        views,
        (np.array([val[i] for i in taken]), labels),
        (np.array(test), np.asarray(data.test.labels, np.int64)),
    )
    return replace(found, candidates=len(able)), [able[i] for i in taken]


def _judged(
    study: str,
    parts: Sequence[tuple[Row, JobKey, Sequence[Graph]]],
    views: tuple[View, ...],
    val: tuple[Probabilities, Labels],
    test: tuple[Probabilities, Labels],
) -> Ensemble:
    """Return what members, each with its network in every view, come to.

    Args:
        study: theirs.
        parts: the members.
        views: of each.
        val: probabilities (members, views, images, classes) of validation images, and their classes.
        test: likewise of test images.
    """
    own = [[_accuracy(one.mean(axis=0), of[1]) for one in of[0]] for of in (val, test)]
    costs = [[cost(graph) for graph in graphs] for _, _, graphs in parts]
    members = tuple(
        Member(
            key=str(key), label=row.label, val=own[0][place] or 0.0, test=own[1][place],
            flops=sum(each.flops for each in costs[place]),
            params=sum(each.params for each in costs[place]),
        )
        for place, (row, key, _) in enumerate(parts)
    )  # fmt: skip
    plain = val[0][:, views.index(PLAIN)].mean(axis=0) if PLAIN in views else None
    return Ensemble(
        study=study,
        members=members,
        flops=sum(member.flops for member in members),
        params=sum(member.params for member in members),
        val=accuracy(val[0].mean(axis=(0, 1)), val[1]),
        test=_accuracy(test[0].mean(axis=(0, 1)), test[1]),
        val_images=len(val[1]),
        test_images=len(test[1]),
        candidates=len(parts),
        views=views,
        plain_val=None if plain is None else accuracy(plain, val[1]),
    )


def _answers(requests: Sequence[Sequence[AnswersRequest]]) -> list[list[Probabilities]]:
    """Return what each answers, asked by one process."""
    left = iter(ask([one for each in requests for one in each]))
    return [[next(left).probabilities for _ in each] for each in requests]


def _accuracy(probabilities: Probabilities, labels: Labels) -> float | None:
    return accuracy(probabilities, labels) if len(labels) else None
