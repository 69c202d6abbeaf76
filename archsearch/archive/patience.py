"""A storage whose database may be away for a while: what is asked of it waits, and is asked again."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from archsearch.errors import one_line

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial
    from sqlalchemy.exc import DBAPIError

_T = TypeVar("_T")
LIMIT_S: Final = 600.0
"""Seconds that a database may be away: a server is restarted, or moved, within minutes."""
_PAUSES_S: Final = (0.5, 1.0, 2.0, 5.0)
_FOR_GOOD: Final = re.compile(
    r"disk is full|disk I/O error|readonly database|malformed|not a database|no such table|"
    r"unable to open database file|authentication failed|does not exist",
    re.IGNORECASE,
)
"""What databases say where it is of no use to wait."""


class Patience:
    """Waits for a database, and says so.

    Args:
        clock: seconds.
        sleep: waits so many seconds.
        stopped: true once the user wants to stop; then nothing is waited for.
        tell: told in one line that something is waited for, and that it is over.
        limit_s: seconds after which no more is waited.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        stopped: Callable[[], bool],
        tell: Callable[[str], None],
        limit_s: float = LIMIT_S,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._stopped = stopped
        self._tell = tell
        self._limit_s = limit_s
        self._gave_up = False

    def run(self, work: Callable[[bool], Any]) -> Any:
        """Do some work, and again while the database is away; it is told whether this is another try.

        Raises:
            Exception: of the last try, whatever the storage raises.
        """
        began_s, tries = self._clock(), 0
        while True:
            try:
                found = work(tries > 0)
            except Exception as error:
                if passes(error) and not self._is_enough(began_s):
                    self._wait(error, tries)
                    tries += 1
                    continue
                if not passes(error):  # it has answered
                    self._back(tries)
                raise
            self._back(tries)
            return found

    def _wait(self, error: Exception, tries: int) -> None:
        if not tries:
            self._tell(
                f"the study's storage does not answer ({why_failed(error)}); "
                "trainings go on, and it is tried again"
            )
        self._sleep(_PAUSES_S[min(tries, len(_PAUSES_S) - 1)])

    def _back(self, tries: int) -> None:
        if tries:
            self._tell("the study's storage answers again")

    def _is_enough(self, began_s: float) -> bool:
        """Whether not to wait any longer; once given up, nothing later is waited for."""
        self._gave_up |= self._clock() - began_s >= self._limit_s
        return self._gave_up or self._stopped()


def passes(error: BaseException) -> bool:
    """Whether a storage's error is that its database is away, or busy, for now."""
    from sqlalchemy.exc import InterfaceError, OperationalError

    found = _of_database(error)
    if found is None:
        return False
    away = isinstance(found, OperationalError | InterfaceError) or found.connection_invalidated
    return away and not _FOR_GOOD.search(str(found.orig))


def why_failed(error: BaseException) -> str:
    """Return in one line what the database itself said: those between say what they were about to do."""
    found = _of_database(error)
    return one_line((found and found.orig) or error.__cause__ or error)


def _of_database(error: BaseException) -> "DBAPIError | None":
    from sqlalchemy.exc import DBAPIError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, DBAPIError):
        cause = cause.__cause__
    return cause


class PatientStorage:
    """An Optuna storage that waits for its database; one process alone writes to a study in it.

    What is written may have arrived although the answer did not: nothing is written twice.
    """

    def __init__(self, storage: "BaseStorage", patience: Patience) -> None:
        self._storage = storage
        self._patience = patience

    def __getattr__(self, name: str) -> Any:
        """Return a method that waits; reading, and writing a value once more, do no harm."""
        method = getattr(self._storage, name)
        if not callable(method):
            return method

        def waits(*values: Any, **named: Any) -> Any:
            return self._patience.run(lambda again: method(*values, **named))

        return waits

    def wait_for(self, work: Callable[[], _T]) -> _T:
        """Read something from the database, whatever the way."""
        return cast("_T", self._patience.run(lambda again: work()))

    def create_new_trial(self, study_id: int, template_trial: "FrozenTrial") -> int:
        """Add a trial, unless an earlier try has; its number is known beforehand."""
        storage, number = self._storage, template_trial.number

        def create(again: bool) -> int:
            if again and storage.get_n_trials(study_id) > number:
                return storage.get_trial_id_from_study_id_trial_number(study_id, number)
            return storage.create_new_trial(study_id, template_trial)

        return int(self._patience.run(create))

    def set_trial_state_values(self, trial_id: int, *values: Any, **named: Any) -> bool:
        """Change a trial's state, unless an earlier try has finished it."""
        from optuna.exceptions import UpdateFinishedTrialError

        def change(again: bool) -> bool:
            try:
                return self._storage.set_trial_state_values(trial_id, *values, **named)
            except UpdateFinishedTrialError:
                if again:
                    return True
                raise

        return bool(self._patience.run(change))


def patient(storage: "BaseStorage", patience: Patience) -> "BaseStorage":
    """Return a storage that waits for its database."""
    return cast("BaseStorage", PatientStorage(storage, patience))


def waited_for(storage: "BaseStorage", work: Callable[[], _T]) -> _T:
    """Return what `work` reads from the database of a storage, which is waited for if it is patient."""
    return storage.wait_for(work) if isinstance(storage, PatientStorage) else work()
