"""What a study remembers, in any storage Optuna can open: trials, their knobs, reports and ends.

The storage is a log: what is asked and told goes through it once, in order, so that a process
that dies loses nothing that was said. Decisions are made from this log's plain records (see
`sampler`), never from the state of a live study.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from archsearch.archive.lock import alone
from archsearch.errors import ArchsearchError, UserError
from archsearch.settings import nearest
from archsearch.space.knobs import Knob, Knobs, KnobValue
from archsearch.uris import shown_uri

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import TrialState

State = Literal["waiting", "running", "complete", "pruned", "failed"]
UNFINISHED: Final = ("waiting", "running")
MARK: Final = "archsearch"
"""Studies of this program carry this attribute: what was known when they were made."""
FORMAT: Final = 1
_SQLITE: Final = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)([^?]+)(.*)", re.DOTALL)
"""An SQLite database in a file: its URL up to the path, the path, the options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is kept of one trial: `reports` is validation accuracy by 1-based epoch."""

    number: int
    state: State
    knobs: Knobs
    accuracy: float | None = None
    reports: Mapping[int, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether it has been told; it changes no more."""
        return self.state not in UNFINISHED


class StudyStore:
    """One study in a storage. Only one process may write to it (see `lock`)."""

    def __init__(self, storage: "BaseStorage", study_id: int, name: str) -> None:
        self.name = name
        self._storage = storage
        self._study_id = study_id
        kept = dict(storage.get_study_user_attrs(study_id))
        self._attributes = {**kept.pop(MARK, {}), **kept}
        self._ids: list[int] = []
        self._trials: list[Trial] = []
        for stored in sorted(storage.get_all_trials(study_id, deepcopy=False), key=_number):
            self._ids.append(stored._trial_id)
            self._trials.append(
                Trial(
                    number=stored.number,
                    state=_states()[stored.state],
                    knobs=dict(stored.params),
                    # A pruned trial's value is what it last reported; failed ones have none.
                    accuracy=stored.values[0] if stored.values else None,
                    reports=dict(stored.intermediate_values),
                    notes=dict(stored.user_attrs),
                )
            )

    @classmethod
    def create(cls, storage: "BaseStorage", name: str, attributes: Mapping[str, Any]) -> Self:
        """Make a new study.

        Raises:
            UserError: there is one of that name.
        """
        from optuna.exceptions import DuplicatedStudyError
        from optuna.study import StudyDirection

        with _troubles():
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
            storage.set_study_user_attr(study_id, MARK, {"format": FORMAT, **attributes})
            return cls(storage, study_id, name)

    @classmethod
    def open(cls, storage: "BaseStorage", name: str) -> Self:
        """Open the study of that name.

        Raises:
            UserError: there is none, or it was not made by this program.
        """
        with _troubles():
            try:
                study_id = storage.get_study_id_from_name(name)
            except KeyError:
                known = study_names(storage)
                hint = nearest(name, tuple(known)) if known else "there are none yet"
                raise UserError(f"no study {name!r}; {hint}") from None
            store = cls(storage, study_id, name)
        if store.attributes.get("format") != FORMAT:
            raise UserError(f"study {name!r} was not made by this version of archsearch")
        return store

    @property
    def attributes(self) -> Mapping[str, Any]:
        """Facts about the whole study, by name."""
        return self._attributes

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials, by number."""
        return tuple(self._trials)

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def set_attribute(self, key: str, value: Any) -> None:
        """Keep a fact about the study: any JSON value."""
        with _troubles():
            self._storage.set_study_user_attr(self._study_id, key, value)
        self._attributes[key] = value

    def add(self, knobs: Knobs, space: tuple[Knob, ...], notes: Mapping[str, Any]) -> Trial:
        """Begin the next trial: number, knobs and notes are kept in one go, or not at all."""
        from optuna.trial import FrozenTrial, TrialState

        template = FrozenTrial(
            number=len(self),
            trial_id=0,  # the storage gives the real one
            state=TrialState.RUNNING,
            value=None,
            datetime_start=_now(),
            datetime_complete=None,
            params=dict(knobs),
            distributions=distributions(space),
            user_attrs=dict(notes),
            system_attrs={},
            intermediate_values={},
        )
        with _troubles():
            identity = self._storage.create_new_trial(self._study_id, template)
            number = self._storage.get_trial_number_from_id(identity)
        if number != len(self):
            raise ArchsearchError(f"study {self.name!r}: someone else added trial {number} to it")
        self._ids.append(identity)
        trial = Trial(number=number, state="running", knobs=dict(knobs), notes=dict(notes))
        self._trials.append(trial)
        return trial

    def report(self, number: int, epoch: int, accuracy: float) -> None:
        """Keep the validation accuracy after an epoch; the same epoch again replaces it."""
        with _troubles():
            self._storage.set_trial_intermediate_value(self._ids[number], epoch, accuracy)
        reports = {**self._trials[number].reports, epoch: accuracy}
        self._replace(number, reports=reports)

    def note(self, number: int, key: str, value: Any) -> None:
        """Keep a fact about a trial: any JSON value."""
        with _troubles():
            self._storage.set_trial_user_attr(self._ids[number], key, value)
        self._replace(number, notes={**self._trials[number].notes, key: value})

    def move(self, number: int, state: State, accuracy: float | None = None) -> None:
        """Change a trial's state: on its way (`waiting`, `running`), or finished for good."""
        if self._trials[number].state == state:
            return
        values = None if accuracy is None else [accuracy]
        with _troubles():
            wanted = next(theirs for theirs, ours in _states().items() if ours == state)
            self._storage.set_trial_state_values(self._ids[number], wanted, values)
        self._replace(number, state=state, accuracy=accuracy)

    def delete(self) -> None:
        """Remove the study and all its trials from the storage."""
        with _troubles():
            self._storage.delete_study(self._study_id)

    def _replace(self, number: int, **changes: Any) -> None:
        self._trials[number] = replace(self._trials[number], **changes)


@contextmanager
def opened(url: str) -> Iterator["BaseStorage"]:
    """Open a storage by the URL of a database Optuna can use, and let go of it after the block.

    Raises:
        UserError: the URL is none, or the database does not open.
    """
    import optuna

    hush()
    try:
        database = _database(url)
    except Exception as error:  # SQLAlchemy and the database's driver have hundreds
        raise UserError(
            f"the storage {shown_uri(url)} does not open: {_first_line(error)}; give a "
            "database URL such as sqlite:///studies.db or postgresql://user@host/name"
        ) from error
    try:
        yield optuna.storages.get_storage(database)
    finally:
        database.remove_session()
        database.engine.dispose()


def _database(url: str) -> "RDBStorage":
    from optuna.storages import RDBStorage

    found = _SQLITE.fullmatch(url)
    if found is None:
        return RDBStorage(url)
    path = Path(found[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    # A new one gets its tables here, and Optuna fails where two processes make them at once.
    with alone(path.with_name(f".{path.name}.lock")):
        # Someone may be looking at the file with another tool: wait for them.
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


def in_memory() -> "BaseStorage":
    """Return a storage that ends with the process, for tests."""
    import optuna

    hush()
    return optuna.storages.InMemoryStorage()


def default_url(home: Path) -> str:
    """Return the URL of the storage kept in `home`.

    Raises:
        UserError: the home's path would end early in a URL.
    """
    if set("?\n") & set(str(home)):
        raise UserError(
            f"home {str(home)!r}: Optuna's storage can't be kept under a path with ? or a line"
            " break; choose another --home, or give --storage"
        )
    return f"sqlite:///{home / 'optuna.db'}"


def absolute_url(url: str) -> str:
    """Return a database's URL with the path of an SQLite file made absolute: the same from any folder."""
    found = _SQLITE.fullmatch(url)
    return url if found is None else f"{found[1]}{Path(found[2]).absolute()}{found[3]}"


def missing(url: str) -> bool:
    """Whether the URL is of an SQLite file that is not there: to open it would make it."""
    found = _SQLITE.fullmatch(url)
    return found is not None and not Path(found[2]).exists()


def check_there(study: str, url: str) -> None:
    """Refuse to look for a study in an SQLite file that is gone.

    Raises:
        UserError: it is.
    """
    if missing(url):
        raise UserError(f"study {study!r} lies in the storage {shown_uri(url)}, which is gone")


def study_names(storage: "BaseStorage") -> list[str]:
    """List this program's studies in a storage, oldest first."""
    with _troubles():
        studies = storage.get_all_studies()
    return [study.study_name for study in studies if MARK in study.user_attrs]


def distributions(knobs: tuple[Knob, ...]) -> "dict[str, BaseDistribution]":
    """Say in Optuna's terms what values the knobs have."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    from archsearch.space.knobs import IntKnob

    return {
        knob.name: IntDistribution(knob.low, knob.high)
        if isinstance(knob, IntKnob)
        else CategoricalDistribution(knob.choices)
        for knob in knobs
    }


def plain(value: KnobValue) -> KnobValue:
    """Return a knob's value as JSON holds it: samplers may give NumPy numbers."""
    item = getattr(value, "item", None)
    return value if item is None else item()


def hush() -> None:
    """Keep Optuna's own lines and notices of experimental features from the user."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _states() -> "dict[TrialState, State]":
    from optuna.trial import TrialState

    return {
        TrialState.WAITING: "waiting",
        TrialState.RUNNING: "running",
        TrialState.COMPLETE: "complete",
        TrialState.PRUNED: "pruned",
        TrialState.FAIL: "failed",
    }


@contextmanager
def _troubles() -> Iterator[None]:
    """Turn a database that fails midway into one line."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        reason = _first_line(error.__cause__ or error)
        raise ArchsearchError(f"the study's storage failed: {reason}") from error


def _number(trial: Any) -> int:
    return int(trial.number)


def _now() -> datetime:
    # Optuna's columns hold naive local times.
    return datetime.now(UTC).astimezone().replace(tzinfo=None)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"[:300]
