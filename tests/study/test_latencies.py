"""Latency in whole studies: fakes for all that takes time, latencies that follow from the networks."""

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.design import LatencyFit
from archsearch.archive.store import StudyStore
from archsearch.errors import ArchsearchError, MachineError, UserError
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.settings import RunSettings
from archsearch.study.events import EpochDone, JobEnded, JobStarted
from archsearch.study.interrupt import Interrupted
from tests.bench import table
from tests.world import STUDY, World, alike

pytestmark = pytest.mark.usefixtures("studies_in_memory")


def by_flops(graph: Graph) -> float:
    """Half a millisecond, and another for every 2 M FLOPs: 10.5 ms at 20 M."""
    return 0.5 + cost(graph).flops / 2e6


def gauged(ms: Callable[[Graph], float] = by_flops, **options) -> World:
    return World(ms=ms, **{"validation": alike, **options})


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg",
        flops="20M",
        trials=6,
        epochs=3,
        workers=2,
        seeds=2,
        finalists=2,
        home=str(tmp_path),
    )


def test_the_gauge_gets_ready_when_the_last_training_has_begun(settings: RunSettings, monkeypatch):
    world = gauged()
    monkeypatch.setattr(world.gauge, "warm_up", lambda requests=(): world.events.append(requests))
    world.run(settings)
    first, place = (n for n, e in enumerate(world.events) if isinstance(e, list | tuple))
    # Its process starts when a worker waits for another one's last trial.
    assert world.events[first] == ()
    kinds = [type(event) for event in world.events[first:place]]
    assert kinds.count(JobEnded) == 1 + 4  # that trial; of six finals, four before the last begins
    kinds = [type(event) for event in world.events[place:]]
    assert JobStarted not in kinds
    assert kinds.count(JobEnded) == 2
    assert {r.graph for r in world.events[place]} >= {r.graph for r in world.gauge.asked}


def test_every_finalist_is_measured_after_the_finals(settings: RunSettings):
    world = gauged()
    result = world.run(settings)
    timed = [row for row in result.rows if row.latency_ms is not None]
    # As many candidates as there are to be finalists, the best of those retrained, and the baseline.
    again = [row for row in result.rows if row.final_val]
    best = [row for row in again if row.origin == "search"][:2]
    assert timed == [row for row in again if row in best or row.origin == "matched"]
    assert {row.origin for row in timed} == {"search", "matched"}
    for row in timed:
        assert row.latency_ms == pytest.approx(0.5 + row.flops / 2e6)
        assert row.latency_p10_ms < row.latency_ms < row.latency_p90_ms
        assert not row.too_slow
        assert row.bound_by == ""
    assert len(world.gauge.asked) == 3
    assert all(request.batch == 1 and request.weights is None for request in world.gauge.asked)
    assert world.gauge.closed
    kept = {key: run.metrics.get("latency_ms") for key, run in world.tracker.trials.items()}
    numbers = [row.name.removeprefix("trial-") for row in timed]
    assert {key for key, ms in kept.items() if ms} == {
        key for key in kept if key.startswith(tuple(f"final-{number}-" for number in numbers))
    }
    assert set(kept.values()) == {None, *(row.latency_ms for row in timed)}
    assert world.tracker.study.metrics["best_latency_ms"] == result.winner.latency_ms
    assert " ms |" in world.tracker.description
    assert "latency_ms" in result.to_dict()["rows"][0]


def test_published_baselines_are_measured_too(settings: RunSettings):
    world = gauged()
    asked = replace(settings, space="resnet", baselines="matched,resnet20_cifar", trials=3, seeds=1)
    result = world.run(asked)
    (row,) = [row for row in result.rows if row.origin == "published"]
    assert row.latency_ms == pytest.approx(0.5 + row.flops / 2e6)


def test_a_network_that_cannot_be_measured_costs_a_notice(settings: RunSettings):
    def fussy(graph: Graph) -> float:
        if not calls:
            calls.append(graph)
            raise ArchsearchError("the process that measures latency died: signal 9")
        return 1.0

    calls: list[Graph] = []
    world = gauged(fussy)
    result = world.run(settings)
    assert result.status == "complete"
    assert "the process that measures latency died: signal 9" in world.notices
    assert [row.latency_ms for row in result.rows if row.final_val].count(1.0) == 2


@pytest.mark.parametrize("at", [1, 3])
def test_a_disk_that_is_full_as_it_measures_leaves_the_study_open(settings: RunSettings, at: int):
    undisturbed = gauged().run(replace(settings, home=str(Path(settings.home) / "other")))
    world = gauged()
    measured = world.gauge.poll

    def full(timeout_s=0.0):
        if len(world.gauge.asked) == at:
            raise MachineError("latency not measured: No space left on device")
        return measured(timeout_s)

    world.gauge.poll = full
    with pytest.raises(MachineError, match=r"No space left on device; .*archsearch resume"):
        world.run(settings)
    result = gauged().resume(STUDY, settings.home)
    assert table(result) == table(undisturbed)
    assert [row.latency_ms for row in result.rows] == [row.latency_ms for row in undisturbed.rows]


def test_a_resumed_study_measures_what_is_left(settings: RunSettings):
    undisturbed = gauged().run(replace(settings, home=str(Path(settings.home) / "other")))
    world = gauged()
    measured = world.gauge.poll

    def interrupting(timeout_s=0.0):
        if len(world.gauge.asked) == 2:
            signal.raise_signal(signal.SIGINT)
        return measured(timeout_s)

    world.gauge.poll = interrupting
    with pytest.raises(Interrupted):
        world.run(settings)
    again = gauged()
    result = again.resume(STUDY, settings.home)
    assert len(again.gauge.asked) == 2
    assert table(result) == table(undisturbed)
    assert [row.latency_ms for row in result.rows] == [row.latency_ms for row in undisturbed.rows]
    # The tracker hears of all of them once more: the one before may have died too early.
    told = [run for run in again.tracker.trials.values() if "latency_ms" in run.metrics]
    timed = [row for row in result.rows if row.latency_ms is not None]
    assert len(told) == sum(row.test.n for row in timed) >= 3


def test_without_a_gauge_nothing_is_measured_and_no_bound_is_taken(settings: RunSettings):
    world = World()
    assert all(row.latency_ms is None for row in world.run(settings).rows)
    with pytest.raises(UserError, match=r"--max-latency 5ms: .* pip install tensorflow"):
        world.run(replace(settings, max_latency="5ms"))


# --- a bound on latency ----------------------------------------------------------------------------


def test_under_a_bound_every_network_is_quick_enough(settings: RunSettings):
    world = gauged(polls=3)
    result = world.run(replace(settings, max_latency="6ms"))
    assert len(result.rows) == 6
    for row in result.rows:
        ms = 0.9 * (0.5 + row.flops / 2e6)  # a tenth of the calls is quicker by a tenth
        assert 0.9 * 6 <= ms <= 6
        assert row.fill == pytest.approx(row.flops / 20e6)
        assert row.bound_by == "latency"
        assert row.label.endswith("latency-bound")
        assert row.status in ("complete", "pruned")
    matched = next(row for row in result.rows if row.origin == "matched")
    assert matched.label.startswith("vgg ")
    record = world.tracker.trial_records["trial-0000"]
    assert record.tags["bound_by"] == "latency"
    assert 0.9 * 6 <= record.metrics["search_latency_ms"] <= 6
    assert "ms a call at" in world.notices
    with opened(default_url(Path(settings.home))) as storage:
        fit = StudyStore.open(storage, result.study)[3].design.latency_fit
    assert fit.quantile == "p10"
    assert fit.measured[0][0] > 0.9 * 20e6  # the full budget comes first
    assert 2 <= len(fit.measured) <= 5


def test_what_is_quick_enough_fills_the_budget(settings: RunSettings):
    free = gauged().run(replace(settings, home=str(Path(settings.home) / "free")))
    world = gauged()
    result = world.run(replace(settings, max_latency="20ms"))
    assert table(result) == table(free)
    assert {row.bound_by for row in result.rows} == {"flops"}


def test_trainings_go_on_while_a_network_is_measured(settings: RunSettings):
    world = gauged(polls=8)
    result = world.run(replace(settings, max_latency="6ms", trials=4, prune=False))
    assert result.status == "complete"
    starts = [i for i, e in enumerate(world.events) if isinstance(e, JobStarted)]
    between = world.events[starts[0] : starts[1]]
    assert sum(isinstance(event, EpochDone) for event in between) >= 3


def test_a_study_cut_off_while_it_measures_goes_on_to_the_same_table(settings: RunSettings):
    bounded = replace(settings, max_latency="6ms")
    undisturbed = gauged(polls=5).run(replace(bounded, home=str(Path(settings.home) / "other")))
    cut = gauged(polls=5, interrupt_at=lambda event: isinstance(event, JobEnded))
    with pytest.raises(Interrupted):
        cut.run(bounded)
    with opened(default_url(Path(settings.home))) as storage:
        kept = StudyStore.open(storage, STUDY).trials
    again = gauged(polls=5)
    result = again.resume(STUDY, settings.home)
    assert table(result) == table(undisturbed)
    # A trial that has begun has its network: only the others are measured.
    fits = sum(len(fit_of(settings, n).measured) for n in range(len(kept), 6))
    assert len(again.gauge.asked) == fits + sum(row.retrained for row in result.rows)


def fit_of(settings: RunSettings, number: int) -> LatencyFit:
    with opened(default_url(Path(settings.home))) as storage:
        return StudyStore.open(storage, STUDY)[number].design.latency_fit


def test_a_bound_out_of_reach_ends_the_search_early(settings: RunSettings):
    world = gauged(lambda graph: 50.0 + cost(graph).flops / 1e6)
    with pytest.raises(ArchsearchError, match=r"even .* FLOPs, the least it reaches, take 4"):
        world.run(replace(settings, max_latency="6ms", trials=20))
    assert "ends after 5 trials: none of them is quick enough" in world.notices


def test_a_finalist_that_is_too_slow_after_all_does_not_win(settings: RunSettings):
    free = gauged().run(replace(settings, home=str(Path(settings.home) / "free")))
    slow = free.winner.graph
    finals: list[str] = []

    def disturbed(graph: Graph) -> float:
        from archsearch.ir.codec import content_hash

        return 9.0 if content_hash(graph) == slow and finals else 4.0

    def note(event):
        if isinstance(event, JobStarted) and event.order.key.purpose == "final":
            finals.append(event.order.key)

    world = gauged(disturbed, watch=note)
    result = world.run(replace(settings, max_latency="5ms"))
    first = result.rows[0]
    assert (first.graph, first.rank, first.winner, first.too_slow) == (slow, 1, False, True)
    assert result.winner is not None
    assert not result.winner.too_slow
    assert first.reason == "too slow: 9.00 ms a call, --max-latency is 5ms"
    assert "too slow: 9.00 ms a call" in world.notices
    # Where all of them are too slow, the most accurate one wins all the same, and it is said.
    world = gauged(lambda graph: 9.0 if finals else 4.0, watch=note)
    finals.clear()
    result = world.run(replace(settings, max_latency="5ms", name="all-slow"))
    assert result.winner.graph == slow
    assert "it wins nevertheless: none is quicker" in world.notices
