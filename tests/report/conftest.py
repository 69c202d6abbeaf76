"""One small study for all tests that watch or read one: its home, its events, its result."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from archsearch.archive.leaderboard import StudyResult
from archsearch.study.events import Event
from tests.small_study import Small


@dataclass(frozen=True)
class Done:
    home: Path
    events: tuple[Event, ...]
    result: StudyResult


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    small = Small(tmp_path_factory.mktemp("home"))
    result = small.run()
    return Done(small.home, tuple(small.events), result)
