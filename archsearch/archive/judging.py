"""How a study's networks are judged: all their trainings of the full length, and what follows from them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from archsearch.archive.design import Design
from archsearch.archive.facts import DatasetFacts, StudyFacts
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Training, Trial
from archsearch.archive.store import StudyStore
from archsearch.statistics.posterior import Evidence, Posterior, posterior
from archsearch.statistics.verdict import (
    PROBABLE,
    Contender,
    Verdict,
    is_untrained,
    undertrained,
    untrained_text,
    verdict,
)
from archsearch.training.job import Outcome


def evidence_of(
    store: StudyStore, budget: int | None = None, *, finals: bool = True
) -> tuple[Evidence, ...]:
    """Return what is known of a search's own networks and its classics, the best of the search first.

    Args:
        store: the study.
        budget: FLOPs of the slice that is asked for; None: the study has one budget.
        finals: whether the values of the finals are among it.
    """
    top = max((t.order.key.rung for trial in store.trials for t in trial.trainings), default=0)
    retrained = by_network(store.finals)
    found = []
    for trial in _of_budget(store, budget):
        searched = _full_value(trial, top, store)
        one = Evidence(name=trial.design.name, values=searched)
        if finals and (again := retrained[one.name]):
            one = one.after(*_of_finals(again, store.facts))
        if one.values:
            found.append(one)
    for design in store.facts.baselines if finals else ():
        if design.origin == "matched" and design.budget == budget:
            again = retrained[design.name]
            one = Evidence(name=design.name, values=()).after(*_of_finals(again, store.facts))
            found += [one] if one.values else []
    return tuple(sorted(found, key=lambda one: (-one.values[0], one.name)))


def judge_of(store: StudyStore, budget: int | None = None) -> "Judge | None":
    """Return what compares a study's networks, or those of one of its budgets.

    None before any has trained, and of a full training.
    """
    evidence = evidence_of(store, budget)
    if not evidence or store.facts.training is not None:
        return None
    images = store.facts.dataset.splits.get("val", 0)
    return Judge(store=store, evidence=evidence, belief=posterior(evidence, images=images))


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Compares the networks of a search.

    Attributes:
        store: the study.
        evidence: what is known of its networks.
        belief: what is believed of them.
    """

    store: StudyStore
    evidence: tuple[Evidence, ...]
    belief: Posterior

    def verdict(self, winner: str, *, retrained: Sequence[str]) -> Verdict | None:
        """Return the verdict on the network of that name; None where it has no rival.

        `retrained` names those networks that were.
        """
        rival = self._rival(winner)
        if rival is None:
            return None
        belief, dataset = self.belief, self.store.facts.dataset
        pair = self._contender(winner), self._contender(rival)
        ties = [name for name in retrained if name not in (winner, rival)]
        ties = [name for name in ties if belief.better(winner, name) < PROBABLE]
        seen = {winner, *retrained}
        curves = [_curve(trial) for trial in self.store.trials if trial.design.name in seen]
        rising = undertrained(curves, images=dataset.splits.get("val", 0))
        return verdict(
            *pair,
            gain=belief.gain(winner, rival),
            probability=belief.better(winner, rival),
            ties=[self._design(name).label for name in ties],
            cautions=[rising] if rising else [],
            untrained=_untrained(pair, dataset),
        )

    def _rival(self, winner: str) -> str | None:
        """Return the best matched baseline; the best of the others where there is none or one has won."""
        others = [one.name for one in self.evidence if one.name != winner]
        matched = [name for name in others if self._design(name).origin == "matched"]
        if self._design(winner).origin == "matched":  # what the search has found is its rival
            others = [name for name in others if name not in matched] or others
            matched = []
        expected = self.belief.expected
        return max(matched or others, key=lambda name: expected[name], default=None)

    def _contender(self, name: str) -> Contender:
        values = next(one.values for one in self.evidence if one.name == name)
        design = self._design(name)
        return Contender(
            label=design.label,
            n=len(values),
            matched=design.origin == "matched",
            val=fmean(values),
        )

    def _design(self, name: str) -> Design:
        return self._designs[name]

    @cached_property
    def _designs(self) -> Mapping[str, Design]:
        designs = (*self.store.facts.baselines, *(trial.design for trial in self.store.trials))
        return {design.name: design for design in designs}


def _untrained(pair: Sequence[Contender], dataset: DatasetFacts) -> str:
    """Say which of two networks is at chance level, the winner first; empty: neither is."""
    common, images = dataset.common_share, dataset.splits.get("val", 0)
    if common is None:
        return ""
    for one in pair:
        if is_untrained(one.val, common=common, images=images):
            return untrained_text(one, common=common)
    return ""


def _of_budget(store: StudyStore, budget: int | None) -> list[Trial]:
    return [trial for trial in store.trials if trial.design.budget == budget]


def _full_value(trial: Trial, top: int, store: StudyStore) -> tuple[float, ...]:
    """Return the accuracy of a trial's training of the full length, where it came to its end."""
    ended = trial.best_known
    if ended is None or ended.order.key.rung < top or not _is_full(ended, store):
        return ()
    outcome = ended.outcome
    if outcome is None or not outcome.learnt or outcome.val_accuracy is None:
        return ()
    return (outcome.val_accuracy,)


def _is_full(training: Training, store: StudyStore) -> bool:
    """Whether a training has the length of the finals; earlier versions knew no other."""
    facts, order = store.facts, training.order
    images = facts.dataset.splits.get("train", 0)
    full = facts.settings.images(flops=order.design.flops, train_images=images)
    return not order.length.images or order.length.images >= full


def by_network(finals: Mapping[JobKey, Outcome]) -> Mapping[str, Mapping[JobKey, Outcome]]:
    """Return how retrainings ended, by the network's name; nothing for one without any."""
    found: dict[str, dict[JobKey, Outcome]] = defaultdict(dict)
    for key, outcome in finals.items():
        found[key.name][key] = outcome
    return found


def _of_finals(
    finals: Mapping[JobKey, Outcome], facts: StudyFacts
) -> tuple[list[float], list[int]]:
    """Return the accuracies of a network's retrainings, and the splits they were validated on."""
    values, folds = [], []
    images = facts.dataset.splits.get("val", 0)
    for key, outcome in finals.items():
        if outcome.learnt and outcome.val_accuracy is not None:
            values.append(outcome.val_accuracy)
            folds.append(facts.settings.fold(key.seed, val_images=images))
    return values, folds


def _curve(trial: Trial) -> Mapping[int, float]:
    """Return the validation accuracy after each epoch of a trial's longest training."""
    ended = trial.best_known
    return {} if ended is None else ended.reports
