"""One network of an ensemble's cost, trained by the same recipe: what the ensemble is compared with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from archsearch.archive.facts import StudyFacts
from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.gathering import gather
from archsearch.settings import RunSettings
from archsearch.space.budget import Budget
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from archsearch.statistics.score import Score
from archsearch.study import driver
from archsearch.study.catalogue import load_result, request_of
from archsearch.study.events import Event
from archsearch.study.in_full.asking import kept_graph
from archsearch.study.in_full.subject import inherited
from archsearch.units import format_count

_MOST_NAME: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """A network that costs as much as the members together.

    Attributes:
        study: the full training it was trained in.
        test: accuracy over its seeds; None where there are no test images.
    """

    study: str
    flops: int
    params: int
    test: Score | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A member whose design the single network has: its study with its facts, its knobs, its epochs."""

    study: str
    facts: StudyFacts
    knobs: Mapping[str, Any]
    epochs: int


def pattern_of(store: StudyStore, row: Row, key: JobKey) -> Pattern:
    """Return a network of a study as a pattern, trained as long as it was with that key."""
    return Pattern(
        study=store.name, facts=store.facts, knobs=row.knobs, epochs=store.finals[key].epochs
    )


def single_name(study: str, flops: int) -> str:
    """Return the name of the study that trains one network of these FLOPs."""
    return f"{study[:_MOST_NAME]}-single-{format_count(flops)}"


def known_single(study: str, *, home: Path, flops: int) -> Single | None:
    """Return what the network came to; None where none has been trained to its end."""
    name = single_name(study, flops)
    if not StudyFolder(home, name).settings.is_file():
        return None
    row = load_result(name, home=home).winner
    if row is None:
        return None
    return Single(study=name, flops=row.flops, params=row.params, test=row.test)


def train_single(
    pattern: Pattern,
    home: Path,
    flops: int,
    *,
    seeds: int,
    on_event: Callable[[Event], None],
) -> None:
    """Train a member's design, widened until it costs `flops`, as the members were; or go on with that.

    Args:
        pattern: the member.
        home: where its study lies.
        flops: of all members.
        seeds: trainings: as many as there are members, so that as much is trained for one as for the other.
        on_event: told of it.

    Raises:
        BudgetError: the space has no network of that cost with these knobs.
        ArchsearchError: it could not be trained.
    """
    study = pattern.study
    name = single_name(study, flops)
    if StudyFolder(home, name).settings.is_file():
        driver.resume(name, home=home, on_event=on_event)
        return
    facts, request = pattern.facts, request_of(pattern.facts)
    space = find_space(str(facts.settings.space))
    found = solve(space, pattern.knobs, request, within=Budget.cap(flops, request.input))
    file = kept_graph(RunSettings(network=found.label, home=str(home)), found.graph).network
    asked = {"network": file, "name": name, "home": str(home), "epochs": pattern.epochs}
    asked |= {"backend": facts.settings.backend, "precision": facts.settings.precision}
    base = inherited(RunSettings(network=study, home=str(home)))
    driver.run(gather({**asked, "seeds": seeds}, study=base), on_event=on_event)
