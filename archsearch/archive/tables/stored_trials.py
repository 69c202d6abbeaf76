"""Optuna's tables read as they are: what takes its own way of reading them long, for studies of many trials.

Optuna makes an object of every cell before it makes a trial of them, ten times what is needed here. Storages
that are no database are asked as any.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from archsearch.archive.optuna_terms import states
from archsearch.archive.orders import State
from archsearch.archive.patience import waited_for

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection

_T = TypeVar("_T")
_Cells = Mapping[int, Mapping[Any, Any]]
"""By trial, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTrial:
    """A trial as it is stored.

    Attributes:
        identity: Optuna's number of it in the whole storage.
        knobs: values by name.
        notes: its attributes, JSON values by name.
        reports: value by step.
    """

    number: int
    identity: int
    state: State
    knobs: Mapping[str, Any]
    notes: Mapping[str, Any]
    reports: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Trials of a state: how many, and the best value of any."""

    trials: int
    best: float | None


def read_trials(storage: "BaseStorage", study_id: int) -> list[StoredTrial]:
    """Return a study's trials by number, in as many questions whatever their number."""
    if engine_of(storage) is not None:
        found = asked(storage, lambda connection: _trials(connection, study_id))
    else:
        words, every = states(), storage.get_all_trials(study_id, deepcopy=False)
        found = [
            StoredTrial(
                number=trial.number, identity=trial._trial_id, state=words[trial.state],
                knobs=trial.params, notes=trial.user_attrs, reports=trial.intermediate_values,
            )
            for trial in every
        ]  # fmt: skip
    return sorted(found, key=lambda trial: trial.number)


def count_trials(storage: "BaseStorage", study_id: int) -> dict[State, Count]:
    """Return how many trials of each state a study in a database has: it is the database that counts."""
    from optuna.storages._rdb.models import TrialModel, TrialValueModel
    from sqlalchemy import func, select

    value = TrialValueModel.value
    query = select(TrialModel.state, func.count(TrialModel.trial_id), func.max(value))
    query = query.outerjoin(TrialValueModel, TrialValueModel.trial_id == TrialModel.trial_id)
    query = query.where(TrialModel.study_id == study_id).group_by(TrialModel.state)
    rows = asked(storage, lambda connection: connection.execute(query).all())
    words = states()
    return {words[state]: Count(trials=count, best=best) for state, count, best in rows}


def count_noted(storage: "BaseStorage", study_id: int, names: Sequence[str]) -> int:
    """Return how many of a study's trials in a database have all attributes of these names."""
    from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
    from sqlalchemy import func, select

    noted = TrialUserAttributeModel
    whole = select(noted.trial_id).join(TrialModel, TrialModel.trial_id == noted.trial_id)
    whole = whole.where(TrialModel.study_id == study_id, noted.key.in_(names))
    whole = whole.group_by(noted.trial_id).having(func.count() == len(names))
    query = select(func.count()).select_from(whole.subquery())
    return int(asked(storage, lambda connection: connection.execute(query).scalar_one()))


def engine_of(storage: "BaseStorage") -> Any:
    """Return SQLAlchemy's engine of a storage; None: it is no database."""
    return getattr(getattr(storage, "_backend", None), "engine", None)


def asked(storage: "BaseStorage", question: "Callable[[Connection], _T]") -> _T:
    """Ask a database something; one that is away is waited for as its storage does.

    Raises:
        StorageInternalError: it does not answer.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    engine = engine_of(storage)

    def work() -> _T:
        try:
            with engine.connect() as connection:
                return question(connection)
        except SQLAlchemyError as error:
            raise StorageInternalError("the tables can't be read") from error

    return waited_for(storage, work)


def _trials(connection: "Connection", study_id: int) -> list[StoredTrial]:
    from optuna.storages._rdb import models
    from sqlalchemy import select

    def cells(table: Any, *columns: Any) -> "Select[Any]":
        query = select(table.trial_id, *columns)
        query = query.join(models.TrialModel, models.TrialModel.trial_id == table.trial_id)
        return query.where(models.TrialModel.study_id == study_id)

    params, notes = models.TrialParamModel, models.TrialUserAttributeModel
    steps = models.TrialIntermediateValueModel
    chosen = cells(params, params.param_name, params.distribution_json, params.param_value)
    rows = connection.execute(chosen.order_by(params.param_id)).all()
    knobs = _by_trial(
        (identity, name, _distribution(kind).to_external_repr(value))
        for identity, name, kind, value in rows
    )
    rows = connection.execute(cells(notes, notes.key, notes.value_json)).all()
    # All in one: to begin reading a value takes longer than to read it.
    values = json.loads(f"[{','.join([text for _, _, text in rows])}]")
    noted = _by_trial(
        (identity, key, value) for (identity, key, _), value in zip(rows, values, strict=True)
    )
    figures = cells(
        steps, steps.step, steps.intermediate_value, steps.intermediate_value_type
    ).order_by(steps.step)
    figure = steps.stored_repr_to_intermediate_value
    reports = _by_trial(
        (identity, step, figure(value, kind))
        for identity, step, value, kind in connection.execute(figures).all()
    )
    trial, words = models.TrialModel, states()
    every = select(trial.number, trial.trial_id, trial.state).where(trial.study_id == study_id)
    return [
        StoredTrial(
            number=number, identity=identity, state=words[state], knobs=knobs.get(identity, {}),
            notes=noted.get(identity, {}), reports=reports.get(identity, {}),
        )
        for number, identity, state in connection.execute(every)
    ]  # fmt: skip


def _by_trial(cells: Iterable[tuple[int, Any, Any]]) -> _Cells:
    found: defaultdict[int, dict[Any, Any]] = defaultdict(dict)
    for identity, name, value in cells:
        found[identity][name] = value
    return found


@lru_cache
def _distribution(text: str) -> "BaseDistribution":
    from optuna.distributions import json_to_distribution

    return json_to_distribution(text)
