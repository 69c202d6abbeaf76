"""A clock that is set while a study runs: wall time is for people, nothing is decided or ordered by it."""

import itertools
import shutil
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from archsearch.archive.tables import writer
from archsearch.study import opening
from archsearch.tracking.mlflow_tracker import MlflowTracker
from tests.bench import table
from tests.small_study import Small
from tests.study.test_retelling import counts

pytestmark = pytest.mark.faults

DAY_S = 24 * 3600.0
_real = time.time


def jumping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every look at the clock find it days before or after the last one."""
    jumps = itertools.cycle((0, 400, -400, 3, -1))

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=next(jumps))

    monkeypatch.setattr(time, "time", lambda: _real() + DAY_S * next(jumps))
    for module in (writer, opening):
        monkeypatch.setattr(module, "datetime", Jumping)


def test_a_clock_that_jumps_changes_no_table_and_no_run(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
):
    def real(settings, warn):
        return MlflowTracker(Path(settings.home), warn=warn)

    homes = [tmp_path / "calm", tmp_path / "jumping"]
    for home in homes:
        home.mkdir()
        shutil.copy(empty_store, home / "mlflow.db")
    few = {"trials": 2, "finalists": 1, "seeds": 1}
    calm = Small(homes[0], tracker=real).run(**few)
    jumping(monkeypatch)
    jumped = Small(homes[1], tracker=real)
    result = jumped.run(**few)
    assert table(result) == table(calm)
    assert counts(homes[1]) == counts(homes[0])
    assert not result.untold
    assert table(Small(homes[1], tracker=real).resume()) == table(calm)
