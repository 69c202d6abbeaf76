"""Whole runs under bounds on time and FLOPs, with an engine whose every epoch moves a clock."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.leaderboard import StudyResult, spent_flops
from archsearch.archive.store import StudyStore
from archsearch.errors import ArchsearchError, UserError
from archsearch.settings import RunSettings
from archsearch.study import conduct
from archsearch.study.events import JobEnded, JobStarted, Notice
from archsearch.study.interrupt import Interrupted
from archsearch.study.winner import export_study
from archsearch.testing.fake_engine import FakeClock, FakeEngine
from archsearch.training.job import Outcome
from tests.world import STUDY, TRAIN, World, alike, interrupting

pytestmark = pytest.mark.usefixtures("studies_in_memory")


def timed(
    epoch_s: Callable[[str, int], float] = lambda key, epoch: 10.0,
    *,
    told: float = 1.0,
    clock: FakeClock | None = None,
    **options,
) -> World:
    """A world on a clock of its own; the measured pace says that epochs take `told` times as long."""

    def tell(outcome: Outcome) -> Outcome:
        if outcome.key.startswith("pace"):
            return replace(outcome, images_per_s=outcome.images_per_s / told)
        return outcome

    clock = clock or FakeClock(1000.0)
    return World(clock=clock, epoch_s=epoch_s, tell=tell, export_s=2.5, **options)


def uneven(key: str, epoch: int) -> float:
    """Every second trial is slow, so that the search ends earlier than the finals would need."""
    return 25.0 if key.startswith("trial") and int(key[-2:]) % 2 else 5.0


def slow_finals(key: str, epoch: int) -> float:
    """Finals begin with two slow epochs, as where other work comes and goes."""
    return 30.0 if key.startswith("final") and epoch <= 2 else 10.0


def trained(result: StudyResult) -> list[int]:
    """How often each network was retrained."""
    return [row.test.n for row in result.rows if row.test]


def slowing() -> World:
    """From a moment on, an epoch takes two and a half times as long."""
    clock = FakeClock(1000.0)
    return timed(lambda key, epoch: 10.0 if clock() < 1500 else 25.0, clock=clock)


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every training is worth it."""
    monkeypatch.setattr("archsearch.strategy.finals.WORTH", 0.0)


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings.from_dict(
        {"space": "vgg", "flops": "20M", "epochs": 4, "workers": 1, "seeds": 2, "finalists": 2,
         "home": str(tmp_path), "max_time": "20min", "prune": False}
    )  # fmt: skip


@pytest.mark.usefixtures("generous")
def test_a_bounded_search_tries_what_fits(settings: RunSettings):
    assert settings.trials == 1000
    world = timed(validation=alike)
    result = world.run(settings)
    assert world.clock() - 1000 <= 1200
    assert world.clock() - 1000 > 0.95 * 1200
    # 40 s a training, six of them finals.
    assert len(result.rows) == (1200 - 6 * 40 - 3 - 2) // 40
    assert all(row.status == "complete" for row in result.rows)
    assert sum(trained(result)) == 6
    assert "no other fits into --max-time 20min" in result.ended
    assert any(isinstance(e, Notice) and "no other fits" in e.text for e in world.events)


@pytest.mark.parametrize("told", [0.3, 3.0])
def test_the_bound_holds_where_the_pace_was_misjudged(settings: RunSettings, told: float):
    world = timed(told=told)
    result = world.run(settings)
    assert world.clock() - 1000 <= 1.05 * 1200
    assert result.winner is not None
    assert len(result.rows) > 10


def test_a_machine_that_slows_down_is_kept_within_the_bound(settings: RunSettings):
    world = slowing()
    result = world.run(settings)
    assert world.clock() - 1000 <= 1.05 * 1200
    assert result.winner is not None
    assert result.winner.test.n >= 1


def test_a_machine_too_slow_for_any_final_ends_with_the_reason(settings: RunSettings):
    asked = replace(settings, epochs=30, seeds=1, finalists=1, max_time="24min")
    wanted = r"no finalist trained to its end.*finals end with 2 trainings left.*--max-time 24min"
    with pytest.raises(ArchsearchError, match=wanted) as found:
        slowing().run(asked)
    assert "`archsearch resume vgg-20M-digits --home" in str(found.value)
    # No export is promised by going on without more time, and with more there is a result.
    with pytest.raises(UserError, match="has no winner: no finalist trained to its end"):
        export_study(STUDY, home=Path(settings.home))
    with pytest.raises(ArchsearchError, match="no finalist trained to its end"):
        resumed(timed(), settings)
    again = timed()
    result = resumed(again, settings, max_time="40min")
    assert result.winner is not None
    assert "trainings left" not in result.ended
    # Nothing new is tried; the best of the short trainings is followed up now.
    (best,) = [job.key for job in again.engine.submitted if job.key.startswith("trial")]
    assert best.endswith("rung1")


def test_only_a_final_beside_one_that_has_ended_is_cut_short(settings):
    world = timed(slow_finals)
    # Two trials of 40 s, two finals that take 80 s, not 40: the second does not fit.
    result = world.run(replace(settings, seeds=1, finalists=1, max_time="200s"))
    assert result.winner is not None
    assert result.ended.endswith(
        "finals end with 1 training left: no other fits into --max-time 200s"
    )
    assert world.clock() - 1000 <= 1.05 * 200
    ends = {
        str(e.order.key): e.status
        for e in world.events
        if isinstance(e, JobEnded) and e.order.key.purpose == "final"
    }
    assert sorted(ends.values()) in (["complete"], ["complete", "interrupted"])
    assert resumed(timed(), settings) == result  # it has ended
    with pytest.raises(UserError, match="soon"):
        resumed(timed(), settings, max_time="soon")
    done = resumed(timed(), settings, max_time="5min")
    assert trained(done) == [1, 1]
    assert "training left" not in done.ended


@pytest.mark.usefixtures("generous")
def test_more_time_is_remembered_and_no_weights_that_may_win_are_removed(settings):
    weights = Path(settings.home) / "studies" / STUDY / "weights"

    def write_weights(event):
        if isinstance(event, JobStarted) and event.order.key.purpose == "final":
            (weights / f"{event.order.key}.npz").write_bytes(b"weights")

    asked = replace(settings, seeds=4, max_time="6min")
    result = timed(watch=write_weights, validation=alike).run(asked)
    assert "left" in result.ended
    first = sorted(path.stem for path in weights.glob("final-*"))
    assert len(first) == sum(trained(result)) > 1
    struck = timed(
        watch=write_weights,
        before=interrupting(lambda key: key.startswith("final")),
        validation=alike,
    )
    with pytest.raises(Interrupted):
        resumed(struck, settings, max_time="1h")
    # It goes on under that bound.
    done = resumed(timed(watch=write_weights, validation=alike), settings)
    assert sum(trained(done)) > len(first)
    assert "left" not in done.ended
    # Then the winner's stay, and one training's of each that may be in an ensemble with it.
    kept = {path.stem for path in weights.glob("final-*")}
    assert done.best_key in kept
    others = [key.rpartition("-seed")[0] for key in kept - {done.best_key}]
    assert len(others) == len(set(others)) < sum(trained(done)) - 1


def test_what_a_network_takes_counts_against_it_only_where_time_bounds_the_search(
    settings, monkeypatch
):
    asked, real = [], conduct.samplers_of

    def watched(make, choices):
        asked.append(choices.time_s)
        return real(make, choices)

    monkeypatch.setattr(conduct, "samplers_of", watched)
    timed().run(replace(settings, max_time="6min"))
    timed().run(replace(settings, max_time=None, trials=1, name="unbounded"))
    assert asked == [360.0 * settings.workers, None]


def test_a_stop_that_comes_too_late_leaves_nothing_to_do(settings):
    class Late(FakeEngine):
        """Ends jobs as they would have ended, whenever they are stopped."""

        def stop(self, key):
            pass

    clock = FakeClock(1000.0)
    world = timed(
        clock=clock,
        engine=lambda setups, folder: Late(train_images=TRAIN, clock=clock, epoch_s=slow_finals),
    )
    result = world.run(replace(settings, trials=2, seeds=1, finalists=1, max_time="250s"))
    assert [row.test.n for row in result.rows if row.test] == [1, 1]
    assert "left" not in result.ended


def test_a_search_that_its_bound_ended_within_an_epoch_has_ended(settings):
    # The second epoch of the third trial takes an hour.
    world = timed(lambda key, epoch: 3600.0 if (key, epoch) == ("trial-0002", 2) else 10.0)
    with pytest.raises(
        ArchsearchError, match="the search ends within an epoch: --max-time 20min is over"
    ):
        world.run(settings)
    again = timed()
    assert resumed(again, settings, max_time="20min").winner is not None
    assert not [job for job in again.engine.submitted if job.key.startswith("trial")]


def test_a_study_whose_storage_is_gone_is_not_begun_anew(settings):
    timed().run(replace(settings, max_time=None, trials=2))
    database = Path(settings.home) / "optuna.db"
    database.unlink()
    with pytest.raises(UserError, match=r"'vgg-20M-digits' lies in the storage .* which is gone"):
        resumed(timed(), settings)
    assert not database.exists()


def resumed(world: World, settings: RunSettings, **options):
    return world.resume(STUDY, settings.home, **options)


@pytest.mark.usefixtures("generous")
def test_what_is_left_goes_into_further_trainings_that_tell_something(settings: RunSettings):
    world = timed(uneven, told=3.0, validation=alike)
    result = world.run(settings)
    assert 0.9 * 1200 <= world.clock() - 1000 <= 1.02 * 1200
    assert sum(trained(result)) > 6
    assert re.search(r"no other fits.*what was left went into \d+ further trainings", result.ended)
    assert all(row.status == "complete" for row in result.rows)
    jobs = {job.key: job.seed for job in world.engine.submitted if job.key.startswith("final")}
    assert len({seed for key, seed in jobs.items() if key.endswith("seed1")}) == 1


def test_finals_that_tell_nothing_more_leave_the_time(settings: RunSettings):
    """The networks' own accuracies, half a share apart, are plain after one training each."""
    result = timed(uneven, told=3.0).run(settings)
    assert sum(trained(result)) < 6
    assert "left" not in result.ended.partition("with the finals")[2]


def test_most_of_a_bound_is_search(settings: RunSettings):
    world = timed(validation=alike)
    world.run(replace(settings, seeds=8))
    keys = [job.key for job in world.engine.submitted]
    # All trainings take the same; the last one of the search may not fit by a little.
    assert sum(key.startswith("trial") for key in keys) + 1 >= 0.7 * len(keys)


def test_a_search_that_ends_by_itself_takes_no_more_than_asked_for(settings: RunSettings):
    world = timed()
    result = world.run(replace(settings, trials=5))
    assert world.clock() - 1000 < 0.5 * 1200
    assert sum(trained(result)) == 6
    assert result.ended == ""


@pytest.mark.usefixtures("generous")
def test_interrupted_in_further_trainings_it_goes_on_with_them(settings: RunSettings):
    calm = timed(uneven, told=3.0, validation=alike)
    calm.run(replace(settings, name="calm"))
    keys = [job.key for job in calm.engine.submitted if job.key.startswith("final")]
    struck = interrupting(lambda key: key == keys[6])
    world = timed(uneven, told=3.0, before=struck, validation=alike)
    with pytest.raises(Interrupted):
        world.run(settings)
    again = timed(uneven, told=3.0, validation=alike)
    result = resumed(again, settings)
    # Nothing is trained twice, no other trial is begun.
    before = [job.key for job in world.engine.submitted]
    after = [job.key for job in again.engine.submitted]
    assert [key for key in after if key in before] == before[-1:]
    assert not [key for key in after if key.startswith("trial")]
    assert sum(trained(result)) > 6
    assert result.ended.count("further training") == 1


@pytest.mark.usefixtures("generous")
def test_the_best_and_the_baseline_come_once_first(settings):
    world = timed(validation=alike)
    result = world.run(replace(settings, max_time="6min", seeds=20))
    assert world.clock() - 1000 <= 360
    assert len(result.rows) >= 5
    ended = [e.order.key for e in world.events if isinstance(e, JobEnded)]
    finals = [key for key in ended if key.purpose == "final"]
    assert [key.seed for key in finals[:2]] == [1, 1]
    assert finals[1].name == "trial-0000"
    assert "trainings left" in result.ended


def test_a_bound_that_is_too_small_is_refused_with_what_is_needed(settings, tmp_path):
    with pytest.raises(
        UserError, match=r"--max-time 30s is too little .* at least --max-time"
    ) as e:
        timed().run(replace(settings, max_time="30s"))
    assert not (tmp_path / "studies" / STUDY).exists()
    needed = str(e.value).split("at least --max-time ")[1].split(",")[0]
    assert timed().run(replace(settings, max_time=needed)).winner is not None
    with pytest.raises(UserError, match=r"at least --search-flops") as e:
        timed().run(replace(settings, max_time=None, search_flops="1G", name="f"))
    needed = str(e.value).split("at least --search-flops ")[1].split(",")[0]
    done = timed().run(replace(settings, max_time=None, search_flops=needed, name="f"))
    assert done.winner is not None


@pytest.mark.usefixtures("generous")
def test_the_flops_of_a_whole_search_are_bounded(settings: RunSettings, tmp_path: Path):
    world = timed(validation=alike)
    one = 3 * 20_000_000 * 4 * 1259
    bound = 12.5 * one
    asked = replace(settings, max_time=None, search_flops=f"{bound / 1e9:.0f}G")
    result = world.run(asked)
    # Six finals would take more than their share.
    assert len(result.rows) == 8
    assert sum(trained(result)) == 4
    with opened(default_url(tmp_path)) as storage:
        spent = spent_flops(StudyStore.open(storage, result.study))
    assert 0.8 * bound < spent <= bound
    assert "--search-flops" in result.ended


def test_without_bounds_nothing_is_counted(settings: RunSettings):
    world = timed()
    result = world.run(replace(settings, max_time=None, trials=3))
    assert result.ended == ""
    assert len(result.rows) == 3
