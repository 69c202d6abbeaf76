"""What a study remembers, in any storage Optuna can open: its facts, its trials, their trainings.

The storage is a log: what is ordered and told goes through it once, so that a process that dies loses
nothing that was said. Decisions are made from the values read here, never from the state of a live study.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from archsearch.archive import codec
from archsearch.archive.attributes import by_prefix, find_study, read_attributes, readable
from archsearch.archive.databases import MARK, troubles
from archsearch.archive.facts import StudyFacts
from archsearch.archive.keys import JobKey
from archsearch.archive.optuna_terms import METRIC_NAMES, distributions
from archsearch.archive.orders import Order, State, Training, Trial, of_last_try
from archsearch.archive.tables.stored_trials import StoredTrial, read_trials
from archsearch.archive.tables.writer import OthersError, now, writer_of
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.latency import Latency
from archsearch.space.knobs import Knob
from archsearch.training.job import Outcome

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


_T = TypeVar("_T")
_TOGETHER_S: Final = 1.0
"""Seconds at most that values of epochs wait for something else to be written."""


class StudyStore:
    """One study in a storage. Only one process may write to it (see `lock`).

    What is said of it is written as it is said; within `together`, at the end of that.
    """

    def __init__(self, storage: "BaseStorage", study_id: int, name: str) -> None:
        self.name = name
        self._storage = storage
        self._study_id = study_id
        kept = read_attributes(storage, study_id, name)
        self._format: Any = kept.get("format")
        with readable(name, "attributes"):
            self._facts = codec.facts_of(kept)
            self._finals = by_prefix(kept, codec.FINAL, codec.outcome_of)
            self._latencies = by_prefix(kept, codec.LATENCY, codec.latency_of)
            further = _by_name(kept)
        self._trials: list[Trial] = []
        with readable(name, "trials"):
            every = read_trials(storage, study_id)
        for stored in every:
            with readable(name, f"trial {stored.number}"):
                self._trials.append(_trial_of(stored, further))
        self._writer = writer_of(storage, study_id, [stored.identity for stored in every])
        self._worked_out: dict[Callable[[Self], Any], Any] = {}
        self._within = False  # `together`
        self._pressing = False  # and something is to be written at its end
        self._written_s = 0.0

    @classmethod
    def create(cls, storage: "BaseStorage", name: str, facts: StudyFacts) -> Self:
        """Make a new study.

        Raises:
            UserError: there is one of that name.
        """
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        with troubles():
            try:
                study_id = storage.create_new_study([StudyDirection.MAXIMIZE], name)
            except DuplicatedStudyError:
                study_id = storage.get_study_id_from_name(name)
                # One with nothing in it was left by a process that died right here.
                if storage.get_study_user_attrs(study_id) or storage.get_n_trials(study_id):
                    raise UserError(
                        f"there is a study {name!r} already; --name gives this one another name"
                    ) from None
            # All in one, so that a study has all of it or is not made yet.
            storage.set_study_user_attr(study_id, MARK, codec.mark_of(facts))
            storage.set_study_system_attr(study_id, METRIC_NAMES, ["val_accuracy"])
            return cls(storage, study_id, name)

    @classmethod
    def open(cls, storage: "BaseStorage", name: str) -> Self:
        """Open the study of that name.

        Raises:
            UserError: there is none, or this version does not read it.
        """
        with troubles():
            return cls(storage, find_study(storage, name), name)

    # --- the study itself -----------------------------------------------------------------------

    @property
    def facts(self) -> StudyFacts:
        """What the study says of itself."""
        return self._facts

    def keep(self, facts: StudyFacts) -> None:
        """Write those of its facts that have changed."""
        for attribute, value in codec.changes(self._facts, facts).items():
            self._set(attribute, value)
        if facts.baselines != self._facts.baselines:
            self._worked_out.clear()
        self._facts = facts

    def once(self, work: "Callable[[Self], _T]") -> "_T":
        """Return what follows from trials, baselines, finals and latencies; anew where these change."""
        if work not in self._worked_out:
            self._worked_out[work] = work(self)
        found: _T = self._worked_out[work]
        return found

    # --- trials ---------------------------------------------------------------------------------

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, by number."""
        return tuple(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def has_knobs(self, space: tuple[Knob, ...]) -> bool:
        """Whether its trials have chosen from these knobs, value for value; true where there are none."""
        if not self._writer.identities:
            return True
        with troubles():
            stored = self._storage.get_trial(self._writer.identities[0])
        return stored.distributions == distributions(space)

    def begin_trial(
        self,
        order: Order,
        space: tuple[Knob, ...],
        *,
        skipped: int = 0,
        outcome: Outcome | None = None,
    ) -> Trial:
        """Begin the next trial: all that is said of it is kept in one go, or not at all.

        Args:
            order: its network and first training.
            space: the knobs.
            skipped: proposals passed over before it.
            outcome: of a training that has ended as it began, there being no network.
        """
        number, notes = len(self), codec.first_record(order, skipped=skipped, outcome=outcome)
        with self._writing():
            self._writer.begin(_template(number, order, space, notes))
        trial = Trial(
            number=number,
            knobs=dict(order.knobs),
            design=order.design,
            skipped=skipped,
            trainings=(Training(order=order, outcome=outcome),),
        )
        self._trials.append(trial)
        self._worked_out.clear()
        return trial

    def begin_training(self, number: int, order: Order) -> None:
        """Begin a further training of a trial's network."""
        self._put_training(number, Training(order=order))

    def report(self, number: int, order: Order, epoch: int, accuracy: float) -> None:
        """Keep the validation accuracy after an epoch; the same epoch again replaces it."""
        training = self._training(number, order)
        training = replace(training, reports={**training.reports, epoch: accuracy})
        if order.key.rung:
            self._replace_training(number, training)  # written as it ends
            return
        with self._writing(pressing=False):
            self._writer.report(number, epoch, accuracy)
        self._replace_training(number, training)

    def end_training(self, number: int, order: Order, outcome: Outcome) -> None:
        """Keep how one of a trial's trainings ended."""
        training = self._training(number, order)
        reports = of_last_try(training.reports, outcome)
        training = replace(training, outcome=outcome, reports=reports)
        if order.key.rung:
            self._put_training(number, training)
            return
        with self._writing():
            self._writer.note(number, codec.OUTCOME, codec.outcome_record(outcome))
        self._replace_training(number, training)

    def move(self, number: int, state: State, accuracy: float | None = None) -> None:
        """Change a trial's state: on its way (`waiting`, `running`), or finished for good."""
        if self._trials[number].state == state:
            return
        with self._writing():
            self._writer.move(number, state, accuracy)
        self._trials[number] = replace(self._trials[number], state=state)
        self._worked_out.clear()

    def finish(self, number: int) -> None:
        """Finish a trial as its longest training ended."""
        trial = self._trials[number]
        ended = trial.best_known
        if trial.finished or ended is None or ended.outcome is None:
            return
        accuracy = None if ended.outcome.status == "failed" else ended.outcome.val_accuracy
        self.move(number, ended.outcome.status, accuracy)

    # --- the finals -----------------------------------------------------------------------------

    @property
    def finals(self) -> Mapping[JobKey, Outcome]:
        """How the finalists' trainings ended."""
        return {JobKey.parse(text): self._finals[text] for text in sorted(self._finals)}

    def keep_final(self, key: JobKey, outcome: Outcome) -> None:
        """Keep how a finalist's training ended."""
        self._set(codec.FINAL + str(key), codec.outcome_record(outcome))
        self._finals[str(key)] = outcome
        self._worked_out.clear()

    @property
    def latencies(self) -> Mapping[str, Latency | str]:
        """Latency of the finalists' networks by name, or why it could not be measured."""
        return dict(self._latencies)

    def keep_latency(self, name: str, found: Latency | str) -> None:
        """Keep a network's latency, or why it could not be measured."""
        self._set(codec.LATENCY + name, codec.latency_record(found))
        self._latencies[name] = found
        self._worked_out.clear()

    # --- writing --------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what is said within the block at its end, in one go, where the storage can.

        Values of epochs alone may wait longer: whoever goes on with a training tells them once more.
        """
        self._within = True
        try:
            yield
        finally:
            self._within = False
            if self._pressing or time.monotonic() - self._written_s > _TOGETHER_S:
                with self._writing():
                    pass

    @contextmanager
    def _writing(self, *, pressing: bool = True) -> Iterator[None]:
        """Have what the block takes down written: now, or where all that is said together is."""
        with troubles():
            try:
                yield
                self._pressing |= pressing
                if not self._within:
                    self._pressing, self._written_s = False, time.monotonic()
                    self._writer.write()
            except OthersError as error:
                raise ArchsearchError(f"study {self.name!r}: {error}") from None

    def _set(self, attribute: str, value: Any) -> None:
        with self._writing():
            if self._format < codec.FORMAT:  # an earlier version would misread what comes now
                self._writer.set("format", codec.FORMAT)
                self._format = codec.FORMAT
            self._writer.set(attribute, value)

    def _training(self, number: int, order: Order) -> Training:
        return next(t for t in self._trials[number].trainings if t.order.key == order.key)

    def _put_training(self, number: int, training: Training) -> None:
        self._set(codec.TRAINING + str(training.order.key), codec.training_record(training))
        self._replace_training(number, training)

    def _replace_training(self, number: int, training: Training) -> None:
        trial = self._trials[number]
        by_key = {t.order.key: t for t in trial.trainings} | {training.order.key: training}
        self._trials[number] = replace(trial, trainings=tuple(by_key.values()))
        self._worked_out.clear()


def _template(
    number: int, order: Order, space: tuple[Knob, ...], notes: Mapping[str, Any]
) -> "FrozenTrial":
    from optuna.trial import FrozenTrial, TrialState

    return FrozenTrial(
        number=number,
        trial_id=0,  # the storage gives the real one
        state=TrialState.RUNNING,
        value=None,
        datetime_start=now(),
        datetime_complete=None,
        params=dict(order.knobs),
        distributions=distributions(space),
        user_attrs=dict(notes),
        system_attrs={},
        intermediate_values={},
    )


def _trial_of(stored: StoredTrial, further: Mapping[str, Mapping[JobKey, Any]]) -> Trial:
    knobs, notes = dict(stored.knobs), stored.notes
    first = codec.first_training(stored.number, knobs, dict(stored.reports), notes)
    design = first.order.design
    more = [
        codec.training_of(key, first.order, record)
        for key, record in further.get(design.name, {}).items()
    ]
    return Trial(
        number=stored.number,
        state=stored.state,
        knobs=knobs,
        design=design,
        skipped=notes.get("duplicates_skipped", 0),
        trainings=(first, *sorted(more, key=lambda training: training.order.key.rung)),
    )


def _by_name(attributes: Mapping[str, Any]) -> dict[str, dict[JobKey, Any]]:
    """Sort what is kept of further trainings by the name of their network."""
    found: dict[str, dict[JobKey, Any]] = {}
    for text, record in by_prefix(attributes, codec.TRAINING, dict).items():
        key = JobKey.parse(text)
        found.setdefault(key.name, {})[key] = record
    return found
