"""What a page is written from: a study's result, its learning curves, the networks it shows in detail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.orders import Trial
from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import ArchsearchError
from archsearch.ir.codec import from_json
from archsearch.readings.plot import Profile, profile_bars
from archsearch.report.analysis import Curve, all_curves
from archsearch.report.page.confusion import Answers, answers_of
from archsearch.report.page.influence import Influence, influence_of
from archsearch.report.page.thinned import MOST, thinned
from archsearch.study.catalogue import opened_existing, result_of

MOST_PROFILES: Final = 24
"""Networks that are shown stage by stage; the file of each is read."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that is known of a study for its page.

    Attributes:
        home: where it lies.
        result: of the study.
        most: networks that are shown one by one.
        numbers: of its trials, by the name of their network.
        curves: of the finalists, every seed's.
        profiles: by name: the winner, the baselines, and the best of the others.
        answers: of the winner to the test images; a text: why it was not asked.
        influence: of knobs and rules on accuracy; empty where too few trials tell.
    """

    home: Path
    result: StudyResult
    most: int = MOST
    numbers: Mapping[str, int] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    answers: Answers | str = ""
    influence: Influence = field(default_factory=Influence)

    @cached_property
    def shown(self) -> StudyResult:
        """The result with the networks that are shown one by one."""
        return thinned(self.result, self.most)

    @property
    def winner(self) -> Row | None:
        """The study's winner; None before there is one."""
        return self.result.winner

    @property
    def matched(self) -> Row | None:
        """The space's classic under the same budget; None where it was not trained."""
        return next((row for row in self.result.rows if row.origin == "matched"), None)


def read_material(name: str, *, home: Path, flops: str | None = None, most: int = MOST) -> Material:
    """Read what a study's page is written from; another process may be driving it.

    Args:
        name: the study.
        home: where it lies.
        flops: one of several budgets, which it is of then.
        most: networks that are shown one by one.

    Raises:
        UserError: there is no such study, or no such budget of it.
    """
    with opened_existing(name, home=home) as store:
        result, facts = result_of(store, home=home, flops=flops), store.facts
        names = {row.name for row in result.rows}
        trials = tuple(trial for trial in store.trials if trial.design.name in names)
    return Material(
        home=home,
        result=result,
        most=most,
        numbers=_numbers(trials),
        curves=all_curves(result, home=home),
        profiles=_profiles(result, StudyFolder(home, name)),
        answers=answers_of(result, StudyFolder(home, name)),
        # Of several budgets more FLOPs would pass for a knob's doing.
        influence=influence_of(facts, () if facts.settings.budgets() else trials),
    )


def _numbers(trials: Sequence[Trial]) -> dict[str, int]:
    return {trial.design.name: trial.number for trial in trials}


def _profiles(result: StudyResult, folder: StudyFolder) -> dict[str, Profile]:
    """Read the networks that are shown in detail; one whose file is damaged is left out."""
    first = [row for row in result.rows if row.winner or row.role == "baseline"]
    names = {row.name for row in first}
    rows = [*first, *(row for row in result.rows if row.name not in names)]
    found = {}
    for row in [row for row in rows if row.flops > 0][:MOST_PROFILES]:
        try:
            found[row.name] = profile_bars(from_json(folder.read_graph(row.graph)))
        except ArchsearchError:  # what else is known of it is shown all the same
            continue
    return found
