"""Finds the network that is to be trained in full: in a study, among the baselines, in a file."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from archsearch.archive.design import Design, design_of, plain_design
from archsearch.archive.facts import FullTraining, StudyFacts
from archsearch.archive.keys import trial_name
from archsearch.archive.leaderboard import Row, read_result
from archsearch.archive.orders import Trial
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder, kept_studies
from archsearch.checks import check_study_name
from archsearch.commands import command
from archsearch.data.dataset import Dataset
from archsearch.errors import GraphError, UserError
from archsearch.exchange.network_files import is_stored, load_network
from archsearch.fields import Value
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph
from archsearch.planning.full_training import Subject
from archsearch.plugins import unknown
from archsearch.settings import PART, RunSettings, default_study_name
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_baseline, find_space, load_baselines
from archsearch.space.solve import solve
from archsearch.statistics.score import Score
from archsearch.study.catalogue import opened_existing, request_of

_INHERITED: Final = (
    "data", "input", "resize", "mirror", "strict", "class_weights", "recipe", "batch_size", "ema",
    "seed", "val_fraction", "test_fraction",
)  # fmt: skip
"""Settings of a study that hold for the full training of its network, too: its images and its recipe."""
_MOST_NAME: Final = 70


def find_subject(settings: RunSettings) -> Subject:
    """Find the network that is to be trained in full; of one that has begun, the one it began with.

    A path that is there comes before a study, a study before a baseline; with `flops` it is a space, for
    its classic.

    Raises:
        UserError: there is none of that name, or the study has no such network.
        GraphError: the file's network is damaged.
    """
    begun = None if settings.name is None else _begun(settings.name, Path(settings.home))
    if begun is not None:
        return begun
    name = str(settings.network)
    if settings.flops is not None:
        return _matched(settings)
    if (study := _study_of(settings)) is not None:
        return _of_study(study, settings)
    if is_stored(Path(name)):
        return _of_file(settings)
    if name in load_baselines():
        return _baseline(name)
    known = [*load_baselines(), *kept_studies(Path(settings.home))]
    raise unknown(name, known, "study, baseline or file")


def inherited(settings: RunSettings) -> Mapping[str, Value]:
    """Return what a full training has of the study that its network is from; nothing where it is from none.

    Raises:
        UserError: the study can't be read.
    """
    study = None if settings.flops is not None else _study_of(settings)
    if study is None:
        return {}
    with opened_existing(study, home=Path(settings.home)) as store:
        kept = store.facts.settings.to_dict()
    return {key: v for key, v in kept.items() if key in _INHERITED or key.startswith(PART)}


def full_name(study: str, which: str = "") -> str:
    """Return what a full training of a study's network is called, of its winner where nothing is said."""
    return f"{study[:_MOST_NAME]}{which}-full"


def plain_name(path: Path) -> str:
    """Return a file's name as that of a network: letters, digits and `_`; empty where it has none of them."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", path.stem).strip("_")


def _study_of(settings: RunSettings) -> str | None:
    """Return the study that is named; None where it is something else that is."""
    name = str(settings.network)
    asked = settings.place is not None or settings.trial is not None
    if asked or (not Path(name).exists() and name in kept_studies(Path(settings.home))):
        check_study_name(name)
        return name
    return None


def _begun(name: str, home: Path) -> Subject | None:
    """Return the network of a full training that has begun; None where none of that name has."""
    folder = StudyFolder(home, name)
    if not folder.settings.is_file():
        return None
    with suppress(UserError), opened_existing(name, home=home) as store:
        facts = store.facts
        if facts.training is not None and facts.baselines:
            (design,) = facts.baselines
            graph = from_json(folder.read_graph(design.graph))
            return Subject(
                make=lambda _: (design, graph), training=facts.training, said=_said_of(facts)
            )
    return None


def _said_of(facts: StudyFacts) -> str:
    network = Path(str(facts.settings.network)).name
    return f"of study {network!r}" if facts.training and facts.training.study else network


# --- from a study ---------------------------------------------------------------------------------


def _of_study(name: str, settings: RunSettings) -> Subject:
    """Return a network of a study: its winner, or the one that is asked for."""
    home = Path(settings.home)
    with opened_existing(name, home=home) as store:
        facts, trials = store.facts, store.trials
        row, said = _chosen(store, settings)
    design, holds = _design(row.name, facts, trials)
    graph = from_json(StudyFolder(home, name).read_graph(design.graph))
    same = settings.data == facts.settings.data
    which = "" if row.winner else f"-{row.name}"
    return Subject(
        make=lambda _: (design, graph),
        training=FullTraining(
            study=name,
            epochs=row.epochs,
            val=row.final_val or _one(row.val_accuracy),
            test=row.test,
            holds=holds,
        ),
        said=f"{said} of study {name!r}",
        name=full_name(name, which),
        input=None if same else graph.input,
        digest=facts.dataset.digest if same else "",
        recipe=facts.recipe,
    )


def _chosen(store: StudyStore, settings: RunSettings) -> tuple[Row, str]:
    """Return the row of a study's table that is asked for, and what it is in a word.

    Raises:
        UserError: there is none; says what there is.
    """
    result = read_result(store)
    ranked = [row for row in result.rows if row.rank is not None]
    if settings.trial is not None:
        name = trial_name(settings.trial)
        found = next((row for row in result.rows if row.name == name and row.flops), None)
        if found is None:
            last = len(store) - 1
            raise UserError(
                f"study {store.name!r} has no network of trial {settings.trial}; its last is {last}"
            )
        return found, f"trial {settings.trial}"
    if settings.place is not None:
        if settings.place > len(ranked):
            raise UserError(
                f"study {store.name!r} has no place {settings.place}; its last is {len(ranked)}"
            )
        return ranked[settings.place - 1], f"place {settings.place}"
    if result.winner is None:
        go_on = command("resume", store.name, home=Path(settings.home))
        raise UserError(
            f"study {store.name!r} has no winner yet; `{go_on}` brings it to its end, or --place 1 "
            "takes the best so far"
        )
    return result.winner, "the winner"


def _design(
    name: str, facts: StudyFacts, trials: tuple[Trial, ...]
) -> tuple[Design, tuple[str, ...] | None]:
    """Return a network's facts, and the rules it was built to hold as far as they are known."""
    if facts.training is not None:
        return facts.baselines[0], facts.training.holds
    holds = None
    with suppress(UserError):  # the space may not be installed any more
        space = find_space(str(facts.settings.space))
        holds = space.rules_but(facts.settings.relaxed())
        for trial in trials:
            if trial.design.name == name:
                return trial.design, space.held_rules(trial.knobs, request_of(facts))
    designs = [*(trial.design for trial in trials), *facts.baselines]
    return next(design for design in designs if design.name == name), holds


def _one(accuracy: float | None) -> Score | None:
    return None if accuracy is None else Score.of([accuracy])


# --- from elsewhere -------------------------------------------------------------------------------


def _baseline(name: str) -> Subject:
    """Return a network as published, made for the images."""

    def make(dataset: Dataset) -> tuple[Design, Graph]:
        try:
            graph = find_baseline(name).build(dataset.input, len(dataset.classes), resize=True)
        except GraphError as error:
            raise UserError(f"baseline {name} does not fit the data: {error}") from error
        return plain_design(name, graph, origin="published"), graph

    return Subject(make=make, training=FullTraining(), said=f"baseline {name}")


def _matched(settings: RunSettings) -> Subject:
    """Return the classic of a space, scaled to a budget: its matched baseline."""
    space, flops = find_space(str(settings.network)), str(settings.flops)

    def make(dataset: Dataset) -> tuple[Design, Graph]:
        budget = Budget.parse(flops, dataset.input)
        request = Request(dataset.input, len(dataset.classes), budget, frozenset())
        found = solve(space, space.classic_knobs(request), request)
        return design_of(found, name="matched", origin="matched"), found.graph

    return Subject(
        make=make,
        training=FullTraining(holds=space.rules_but(())),
        said=f"matched baseline of space {space.name} at {flops} FLOPs",
        name=f"{default_study_name(settings)[:_MOST_NAME]}-matched",
    )


def _of_file(settings: RunSettings) -> Subject:
    """Return the network of a file; its weights are not read: it begins anew."""
    path, size = Path(str(settings.network)), settings.image_size
    whole = None
    if size is not None and size[2] is not None:
        whole = (size[0], size[1], size[2])
    graph = load_network(path, input=whole)
    name = plain_name(path) or "network"
    name = f"network_{name}" if name.isdecimal() else name[:_MOST_NAME]
    return Subject(
        make=lambda _: (plain_design(name, graph, origin="given"), graph),
        training=FullTraining(),
        said=f"the network of {path.name}",
        input=graph.input,
    )
