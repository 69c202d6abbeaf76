"""Studies without a database."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial

from archsearch.archive import databases

DATABASE: Final = databases._database
FILE: Final = "sqlite:///"


class Storage(InMemoryStorage):
    """A storage that stays when it is let go of; like a database it gives back what JSON can hold."""

    engine = SimpleNamespace(dispose=lambda: None)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, _as_json(value))

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, _as_json(value))

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        if template_trial is not None:
            template_trial.user_attrs = _as_json(template_trial.user_attrs)
        return super().create_new_trial(study_id, template_trial)


@pytest.fixture(scope="module")
def studies_in_memory() -> Iterator[None]:
    """Optuna's storage in memory in place of each database, for a module of tests.

    Half of the time of a study without trainings is the database's. This is for tests of what is decided;
    those of what is remembered have the database that people have.
    """
    known: dict[str, Storage] = {}

    def database(url: str) -> Storage | RDBStorage:
        if not url.startswith(FILE):
            return DATABASE(url)
        path = Path(url.removeprefix(FILE))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # where a study's database is gone, none is looked for
        return known.setdefault(url, Storage())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(databases, "_database", database)
        yield


@pytest.fixture
def in_a_database(studies_in_memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this test's studies as people's are kept."""
    monkeypatch.setattr(databases, "_database", DATABASE)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
