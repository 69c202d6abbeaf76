"""What is written of a study: to a database in one transaction, to others call by call.

Optuna's own way takes a transaction for each value, and sixty questions for a trial. On a disk that takes
5 ms to confirm one, and with hundreds of workers, that would be most of a driver's time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from archsearch.archive.optuna_terms import states
from archsearch.archive.orders import UNFINISHED, State
from archsearch.archive.patience import waited_for
from archsearch.archive.tables.stored_trials import engine_of
from archsearch.errors import ArchsearchError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy.engine import Connection


class OthersError(ArchsearchError):
    """A trial can't be added, as another process has: one alone writes to a study."""

    def __init__(self, number: int) -> None:
        super().__init__(f"someone else added trial {number} to it")


class Writer(Protocol):
    """Takes down changes of one study in their order; trials go by their numbers."""

    identities: list[int]
    """The storage's number of each trial."""

    def begin(self, trial: "FrozenTrial") -> None:
        """Add the next trial, with all that is said of it.

        Raises:
            OthersError: another process has added one.
        """
        ...

    def report(self, number: int, step: int, value: float) -> None:
        """Keep a trial's value at a step; later ones take the place of earlier ones."""
        ...

    def note(self, number: int, key: str, value: Any) -> None:
        """Keep an attribute of a trial, a JSON value."""
        ...

    def move(self, number: int, state: State, value: float | None) -> None:
        """Change a trial's state; `value`: what it has come to."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep an attribute of the study, a JSON value."""
        ...

    def write(self) -> None:
        """Have all that was taken down in the storage, or raise why it is not there."""
        ...


def writer_of(storage: "BaseStorage", study_id: int, identities: Sequence[int]) -> Writer:
    """Return what writes to a study in a storage, whose trials have these numbers there."""
    if engine_of(storage) is None:
        return _Calls(storage, study_id, identities)
    return _Transactions(storage, study_id, identities)


class _Calls:
    """Writes at once, as Optuna does (see `Writer`)."""

    def __init__(self, storage: "BaseStorage", study_id: int, identities: Sequence[int]) -> None:
        self.identities = list(identities)
        self._storage, self._study_id = storage, study_id

    def begin(self, trial: "FrozenTrial") -> None:
        identity = self._storage.create_new_trial(self._study_id, trial)
        given = self._storage.get_trial_number_from_id(identity)
        if given != trial.number:
            raise OthersError(given)
        self.identities.append(identity)

    def report(self, number: int, step: int, value: float) -> None:
        self._storage.set_trial_intermediate_value(self.identities[number], step, value)

    def note(self, number: int, key: str, value: Any) -> None:
        self._storage.set_trial_user_attr(self.identities[number], key, value)

    def move(self, number: int, state: State, value: float | None) -> None:
        values = None if value is None else [value]
        self._storage.set_trial_state_values(self.identities[number], _theirs()[state], values)

    def set(self, key: str, value: Any) -> None:
        self._storage.set_study_user_attr(self._study_id, key, value)

    def write(self) -> None:
        """Do nothing: it is written."""


class _Transactions:
    """Writes to Optuna's tables, all that was taken down since the last time at once (see `Writer`)."""

    def __init__(self, storage: "BaseStorage", study_id: int, identities: Sequence[int]) -> None:
        self.identities = list(identities)
        self._storage, self._study_id = storage, study_id
        self._changes: list[Callable[[Connection, bool], None]] = []

    def begin(self, trial: "FrozenTrial") -> None:
        self._changes.append(lambda connection, again: self._insert(connection, trial, again))

    def report(self, number: int, step: int, value: float) -> None:
        from optuna.storages._rdb.models import TrialIntermediateValueModel as Model

        kept, kind = Model.intermediate_value_to_stored_repr(value)
        cells = {"intermediate_value": kept, "intermediate_value_type": kind}
        self._put(Model, lambda: {"trial_id": self.identities[number], "step": step}, cells)

    def note(self, number: int, key: str, value: Any) -> None:
        from optuna.storages._rdb.models import TrialUserAttributeModel as Model

        cells = {"value_json": json.dumps(value)}
        self._put(Model, lambda: {"trial_id": self.identities[number], "key": key}, cells)

    def move(self, number: int, state: State, value: float | None) -> None:
        from optuna.storages._rdb.models import TrialModel, TrialValueModel
        from sqlalchemy import update

        cells: dict[str, Any] = {"state": _theirs()[state]}
        if state == "running":
            cells["datetime_start"] = now()
        if state not in UNFINISHED:
            cells["datetime_complete"] = now()

        def change(connection: "Connection", again: bool) -> None:
            identity = self.identities[number]
            connection.execute(update(TrialModel).where(TrialModel.trial_id == identity), cells)

        self._changes.append(change)
        if value is not None:
            kept, kind = TrialValueModel.value_to_stored_repr(value)
            self._put(
                TrialValueModel,
                lambda: {"trial_id": self.identities[number], "objective": 0},
                {"value": kept, "value_type": kind},
            )

    def set(self, key: str, value: Any) -> None:
        from optuna.storages._rdb.models import StudyUserAttributeModel as Model

        cells = {"value_json": json.dumps(value)}
        self._put(Model, lambda: {"study_id": self._study_id, "key": key}, cells)

    def write(self) -> None:
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        if not self._changes:
            return
        engine, known, tries = engine_of(self._storage), len(self.identities), 0

        def work() -> None:
            nonlocal tries
            tries += 1
            del self.identities[known:]
            try:
                with engine.begin() as connection:
                    for change in self._changes:
                        change(connection, tries > 1)
            except SQLAlchemyError as error:
                raise StorageInternalError("the tables can't be written") from error

        try:
            waited_for(self._storage, work)
        finally:  # what fails for good is not tried again: whoever goes on reads the study anew
            self._changes.clear()

    def _put(
        self, model: Any, place: Callable[[], Mapping[str, Any]], cells: Mapping[str, Any]
    ) -> None:
        """Take down cells of a row, which is made where there is none."""

        def change(connection: "Connection", again: bool) -> None:
            found = place()
            at = {f"at_{name}": value for name, value in found.items()}
            to = {f"to_{name}": value for name, value in cells.items()}
            first, other = _statements(model, tuple(found), tuple(cells))
            if not connection.execute(first, {**at, **to}).rowcount:
                connection.execute(other, {**found, **cells})

        self._changes.append(change)

    def _insert(self, connection: "Connection", trial: "FrozenTrial", again: bool) -> None:
        """Add a trial, unless an earlier try has, whose answer did not arrive."""
        from optuna.storages._rdb import models
        from sqlalchemy import insert, select

        table = models.TrialModel
        newest = select(table.number, table.trial_id).where(table.study_id == self._study_id)
        last = connection.execute(newest.order_by(table.trial_id.desc()).limit(1)).first()
        if last is not None and last[0] >= trial.number:
            if not again:
                raise OthersError(last[0])
            found = select(table.trial_id).where(
                table.study_id == self._study_id, table.number == trial.number
            )
            self.identities.append(connection.execute(found).scalar_one())
            return
        row = {
            "study_id": self._study_id, "number": trial.number, "state": trial.state,
            "datetime_start": trial.datetime_start,
        }  # fmt: skip
        key = connection.execute(insert(table), row).inserted_primary_key
        assert key is not None
        identity = key[0]
        self.identities.append(identity)
        _insert_cells(connection, identity, trial)


def _insert_cells(connection: "Connection", identity: int, trial: "FrozenTrial") -> None:
    """Add what is said of a new trial: its knobs and its attributes."""
    from optuna.storages._rdb.models import TrialParamModel, TrialUserAttributeModel
    from sqlalchemy import insert

    kinds = trial.distributions
    params = [
        {
            "trial_id": identity, "param_name": name, "distribution_json": _json_of(kinds[name]),
            "param_value": kinds[name].to_internal_repr(value),
        }
        for name, value in trial.params.items()
    ]  # fmt: skip
    notes = [
        {"trial_id": identity, "key": key, "value_json": json.dumps(value)}
        for key, value in trial.user_attrs.items()
    ]
    for model, rows in ((TrialParamModel, params), (TrialUserAttributeModel, notes)):
        if rows:
            connection.execute(insert(model), rows)


@cache
def _statements(model: Any, at: Sequence[str], to: Sequence[str]) -> tuple[Any, Any]:
    """Return what changes some columns of a row, which others tell from the rest, and what makes a row."""
    from sqlalchemy import and_, bindparam, insert, update

    there = and_(*(getattr(model, name) == bindparam(f"at_{name}") for name in at))
    return update(model).where(there).values({n: bindparam(f"to_{n}") for n in to}), insert(model)


def now() -> Any:
    """Return the time as Optuna's columns hold it: naive, and local."""
    return datetime.now(UTC).astimezone().replace(tzinfo=None)


def _json_of(distribution: Any) -> str:
    from optuna.distributions import distribution_to_json

    return distribution_to_json(distribution)


@cache
def _theirs() -> Mapping[State, Any]:
    return {ours: theirs for theirs, ours in states().items()}
