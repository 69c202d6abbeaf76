"""`--finalists 0`: a search that ends with its table, retrains nothing and touches no test image."""

from pathlib import Path

import pytest

from archsearch.errors import ArchsearchError
from archsearch.report.plan import plan_rows
from archsearch.study.events import Planned
from archsearch.testing.fake_engine import FakeClock
from tests.small_study import NAME, Small, settings_of
from tests.world import World

pytestmark = pytest.mark.usefixtures("studies_in_memory")


def test_a_search_without_finals_ends_complete_and_has_no_winner(tmp_path: Path):
    small = Small(tmp_path)
    result = small.run(finalists=0, trials=3)
    assert result.status == "complete"
    assert result.winner is None
    assert [row.rank for row in result.rows] == [1, 2, 3]
    assert not any(row.retrained for row in result.rows)
    assert {row.origin for row in result.rows} == {"search", "matched"}
    assert not any(job.test for job in small.engines[0].submitted)
    assert small.resume().rows == result.rows
    (planned,) = (event for event in small.events if isinstance(event, Planned))
    training = dict(plan_rows(planned.forecast))["training"]
    assert "from scratch" not in training


def test_with_more_time_its_search_goes_on(tmp_path: Path):
    def world() -> World:
        return World(clock=FakeClock(1000.0), epoch_s=lambda key, epoch: 10.0)

    asked = {"finalists": 0, "workers": 1, "prune": False, "fidelity": "none", "sampler": "random"}
    first = world().run(settings_of(tmp_path, **asked, trials=50, max_time="3min"))
    assert first.ended.endswith("no other fits into --max-time 3min")
    assert 0 < len(first.rows) < 8
    more = world().resume(NAME, tmp_path, max_time="3min")
    assert more.settings.max_time == "3min"
    assert len(first.rows) < len(more.rows) < 50
    assert more.ended.endswith("no other fits into --max-time 3min")
    idle = world()
    assert idle.resume(NAME, tmp_path).rows == more.rows
    assert idle.engines == []


def test_without_any_network_it_fails_as_any_search(tmp_path: Path):
    asked = {"finalists": 0, "trials": 1, "baselines": "none"}
    well = Small(tmp_path / "well")
    well.run(**asked)
    (job,) = well.engines[0].submitted
    world = World(failures={job.key: "out of memory"})
    with pytest.raises(ArchsearchError, match="no network trained to its end"):
        world.run(settings_of(tmp_path / "ill", **asked))
