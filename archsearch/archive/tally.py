"""How far a study is, without reading its trials one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archsearch.archive import codec
from archsearch.archive.attributes import by_prefix, find_study, read_attributes, readable
from archsearch.archive.databases import troubles
from archsearch.archive.facts import StudyFacts
from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import read_result
from archsearch.archive.orders import UNFINISHED
from archsearch.archive.store import StudyStore
from archsearch.archive.tables.stored_trials import count_noted, count_trials, engine_of
from archsearch.errors import DamagedError
from archsearch.statistics.score import Score
from archsearch.training.job import Outcome

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """A study in a few figures.

    Attributes:
        done: trials that have ended; of a full training, trainings.
        best_val: the best validation accuracy so far: the best mean of retrainings, or of a trial.
    """

    facts: StudyFacts
    done: int
    best_val: float | None


def read_tally(storage: "BaseStorage", name: str) -> Tally:
    """Return how far a study is: the database counts its trials, none of them is read.

    Where trials have trainings of several lengths, or the storage is no database, all are read.

    Raises:
        UserError: there is no such study, or this version does not read it.
        DamagedError: it can't be read.
    """
    with troubles():
        study_id = find_study(storage, name)
        kept = read_attributes(storage, study_id, name)
        if engine_of(storage) is None or any(key.startswith(codec.TRAINING) for key in kept):
            return _of_store(StudyStore(storage, study_id, name))
        with readable(name, "attributes"):
            facts = codec.facts_of(kept)
            finals = by_prefix(kept, codec.FINAL, codec.outcome_of)
            best = _best_mean(finals)
        if facts.training is not None:  # which has no trials
            return Tally(facts=facts, done=len(finals), best_val=best)
        with readable(name, "trials"):
            counts = count_trials(storage, study_id)
            lacking = sum(count.trials for count in counts.values())
            lacking -= count_noted(storage, study_id, codec.NETWORK)
            tried = count_noted(storage, study_id, (codec.OUTCOME,))
    if lacking:
        raise DamagedError(f"study {name!r} is damaged: {lacking} of its trials have no network")
    done = sum(count.trials for state, count in counts.items() if state not in UNFINISHED)
    if tried > done:  # and may yet train for longer, or their process died right there
        return _of_store(StudyStore(storage, study_id, name))
    if best is None:
        # A trial that was cut short stands below all that were not, whatever its accuracy.
        ended = (counts[state].best for state in ("complete", "pruned") if state in counts)
        best = next((accuracy for accuracy in ended if accuracy is not None), None)
    return Tally(facts=facts, done=done, best_val=best)


def read_facts(storage: "BaseStorage", name: str) -> StudyFacts:
    """Return what a study says of itself; none of its trials is read.

    Raises:
        UserError: there is no such study, or this version does not read it.
        DamagedError: it can't be read.
    """
    with troubles():
        kept = read_attributes(storage, find_study(storage, name), name)
    with readable(name, "attributes"):
        return codec.facts_of(kept)


def _best_mean(finals: Mapping[str, Outcome]) -> float | None:
    """Return the best mean accuracy of a network's retrainings; None where none came to its end.

    What stalled does not count, unless all did.
    """
    by_name: dict[str, list[float]] = {}
    learnt = {text: outcome for text, outcome in finals.items() if not outcome.stalled}
    for text, outcome in (learnt or finals).items():
        if outcome.status == "complete" and outcome.val_accuracy is not None:
            name = JobKey.parse(text).name
            by_name.setdefault(name, []).append(outcome.val_accuracy)
    scores = [Score.of(values) for values in by_name.values()]
    return max((score.mean for score in scores if score is not None), default=None)


def _of_store(store: StudyStore) -> Tally:
    rows = read_result(store).rows
    means = [row.final_val.mean for row in rows if row.final_val]
    best = max(means) if means else rows[0].val_accuracy if rows else None
    done = sum(trial.tried for trial in store.trials)
    if store.facts.training is not None:
        done = len(store.finals)
    return Tally(facts=store.facts, done=done, best_val=best)
