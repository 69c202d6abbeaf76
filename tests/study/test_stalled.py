"""Trainings that stall, as a study has them: tried again, counted, told of, and placed apart."""

import io
import random
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.tally import read_tally
from archsearch.recipes.recipe import Recipe
from archsearch.report.analysis import compare, curves, points
from archsearch.report.live import event_lines
from archsearch.report.results import ending, leaderboard
from archsearch.report.write import markdown, write_report
from archsearch.strategy.bounds import Bounds, Load
from archsearch.study.events import JobEnded
from archsearch.study.observers import note_rows, study_metrics
from archsearch.study.retelling import track
from archsearch.testing.fake_engine import FakeEngine
from archsearch.training.job import Job, Outcome
from tests.bench import TRAIN, Bench, Fragile, Killed, bench, table
from tests.world import World

pytestmark = pytest.mark.usefixtures("studies_in_memory")

__all__ = ["bench"]
GUESS = 0.1


class Stalling(FakeEngine):
    """Some trainings come to what guessing does in a first try; some of them in the second one, too.

    Args:
        first, both: beginnings of their keys.
        broken: beginnings of keys of those among `both` whose second try diverges.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        first: Collection[str] = (),
        both: Collection[str] = (),
        broken: Collection[str] = (),
        **options,
    ) -> None:
        super().__init__(workers, **{"train_images": TRAIN, **options})
        self._first, self._both, self._broken = tuple(first), tuple(both), tuple(broken)

    def _advance(self, job: Job):
        done, epochs = len(self._walls_s[job.key]), job.epochs(self._train_images)
        stalls = job.key.startswith(self._first + self._both)
        if job.measure_s is not None or not stalls or done < epochs:
            return super()._advance(job)
        ends = done == 2 * epochs or job.key in self._stopped
        if not ends:
            self._walls_s[job.key].append(0.01)
            report = replace(self._report(job, done + 1 - epochs), before=epochs)
            return replace(report, images=self._seen(job, epochs) + report.images)
        own = done - epochs
        outcome = replace(
            self._outcome(job, own, epochs), rate_share=1 / 3, images=done * self._train_images
        )
        if job.key.startswith(self._both) and own == epochs:
            outcome = replace(outcome, stalled=True, reason="its loss ended at 2.303")
        if job.key.startswith(self._broken) and own == epochs:
            outcome = replace(outcome, status="failed", val_accuracy=None, test_accuracy=None)
        return self._end(job, outcome)

    def _accuracy(self, job: Job, epoch: int) -> float:
        done, epochs = len(self._walls_s[job.key]), job.epochs(self._train_images)
        if job.key.startswith(self._both) or (
            job.key.startswith(self._first) and done <= epochs and epoch == done
        ):
            return GUESS
        return super()._accuracy(job, epoch)


def rows(result: StudyResult) -> dict[str, object]:
    return {row.name: row for row in result.rows}


def shown(*parts) -> str:
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None).print(*parts, sep="\n")
    return stream.getvalue()


KINDS = {"first": ["trial-0001", "final-0001"], "both": ["trial-0003"]}


def test_a_second_try_counts_and_what_stalls_in_both_is_placed_apart(bench: Bench):
    result = replace(bench, trials=6, prune=False).run(engine=Stalling(**KINDS))
    learnt, stalled = rows(result)["trial-0001"], rows(result)["trial-0003"]
    assert (learnt.stalled, learnt.rate_share) == (False, 1 / 3)
    assert learnt.val_accuracy > 0.4
    assert (stalled.stalled, stalled.status, stalled.rank) == (True, "complete", None)
    assert stalled.reason == "its loss ended at 2.303"
    assert result.rows[-1] == stalled
    assert (result.stalls, result.retried) == (1, learnt.retried)
    assert learnt.retried == learnt.trainings
    assert [row.rank for row in result.rows[:-1]] == [1, 2, 3, 4, 5]
    # Both tries cost.
    plain = (
        replace(bench, trials=6, prune=False).fresh().run(engine=FakeEngine(2, train_images=TRAIN))
    )
    assert result.spending.total > plain.spending.total
    said = shown(leaderboard(result))
    (line,) = [line for line in said.splitlines() if "trial-0003" in line or "stalled" in line][:1]
    assert "stalled" in line
    assert "10.0" not in said
    assert "⅓ rate" in said
    assert "stalled: no better than guessing" in said
    values = result.to_dict()
    assert (values["stalls"], values["retried"]) == (result.stalls, result.retried)
    assert values["rows"][-1]["stalled"] is True


def test_the_second_tries_epochs_are_told_once_and_its_curve_is_kept(bench: Bench):
    bench = replace(bench, trials=3, prune=False)
    bench.run(engine=Stalling(first=["trial-0001"]), finals=False)
    [training] = bench.store[1].trainings
    assert training.reports == pytest.approx(dict(enumerate(_rising(training.outcome), start=1)))
    kept = bench.folder.read_epochs("trial-0001")
    assert [(r.before, r.epoch) for r in kept] == [(b, e) for b in (0, 4) for e in range(1, 5)]
    run = bench.tracker.trials["trial-0001"]
    assert list(run.history["loss"]) == list(range(1, 9))
    assert run.metrics["rate_share"] == pytest.approx(1 / 3)
    assert (run.metrics["stalled"], "stalled" in run.tags) == (0.0, False)


def _rising(outcome: Outcome) -> list[float]:
    end = outcome.val_accuracy / (1 - 0.5**5)
    return [end * (1 - 0.5 ** (1 + epoch)) for epoch in range(1, 5)]


def test_a_second_try_is_not_cut_short_by_its_peers(bench: Bench):
    """It is there to see whether the network learns at all; in the first try it was judged like any."""
    bench = replace(bench, trials=9)
    late = [f"trial-{n:04d}" for n in range(6, 9)]
    result = bench.run(engine=Stalling(both=late), finals=False)
    for name in late:
        row = rows(result)[name]
        assert row.status in ("pruned", "complete")
        assert row.stalled == (row.status == "complete")
        assert (row.stalls > 0) == row.stalled


@pytest.mark.parametrize("part", range(4))
def test_killed_anywhere_the_table_is_the_same(bench: Bench, part: int):
    kinds = {**KINDS, "broken": ["trial-0003"]}
    bench = replace(bench, trials=5, epochs=3, seeds=1)
    counter = Fragile(bench.storage, 10**9, before=True)
    expected = table(replace(bench, storage=counter).run(engine=Stalling(**kinds)))
    writes = 10**9 - counter.left
    for at in range(1 + 3 * part, writes, 12):
        other = bench.fresh()
        calm, other.storage = other.storage, Fragile(other.storage, at, before=at % 2 == 0)
        with pytest.raises(Killed):
            other.run(engine=Stalling(**kinds, order=random.Random(at)))
        other.storage = calm
        assert table(other.run(engine=Stalling(**kinds))) == expected, at


def test_a_finalist_that_stalls_with_one_seed_is_named_and_the_others_count(bench: Bench):
    bench = replace(bench, trials=4, seeds=3, prune=False)
    calm = bench.run()
    best = calm.winner.name
    engine = Stalling(both=[f"final-{best[-4:]}-seed1"], first=[f"final-{best[-4:]}-seed2"])
    result = bench.fresh().run(engine=engine)
    row = rows(result)[best]
    assert (row.stalled, row.stalls, row.retried, row.rate_share) == (False, 1, 1, 1 / 3)
    assert (row.test.n, row.lost) == (row.final_val.n, 1)
    assert result.best_key != f"final-{best[-4:]}-seed1"
    assert result.lost == (
        f"{row.label}: 1 retraining of {row.final_val.n + 1} failed (stalled: its loss ended at 2.303)",
    )


def test_where_everything_stalls_the_study_ends_and_says_it(bench: Bench):
    result = replace(bench, trials=3, prune=False).run(engine=Stalling(both=["trial", "final"]))
    assert all(row.stalled and row.rank is None for row in result.rows)
    assert result.winner.stalled
    result = replace(result, recipe=Recipe())
    said = shown(leaderboard(result), *ending(result, home=Path("home")))
    (line,) = [line for line in said.splitlines() if "winner" in line]
    assert "stalled" in line
    assert "It has learnt nothing: " in said
    assert "stalled: no better than guessing, also at ⅓ of the rate" in said
    assert "test accuracy" not in said
    assert points(result) == []
    assert read_tally(bench.storage, "s").best_val is not None


def test_the_report_and_the_comparison_say_it_of_a_baseline(bench: Bench, tmp_path: Path):
    bench = replace(bench, trials=4, prune=False)
    kinds = {"both": ["trial-0000", "final-0000"], "first": ["trial-0001"]}
    result = replace(bench.run(engine=Stalling(**kinds)), recipe=Recipe())
    assert rows(result)["trial-0000"].origin == "matched"
    (standing,) = compare([result]).standings
    assert standing.baseline.endswith(" (stalled)")
    assert (standing.baseline_test, standing.gain) == (None, None)
    text = markdown(result, pictured=False)
    every = sum(row.trainings for row in result.rows)
    assert (
        f"{result.stalls} of {every} trainings stalled: no better than guessing, also at ⅓ of the rate; "
        f"{result.retried} learnt at ⅓ of the rate, and stalled at the whole." in text
    )
    assert "| stalled: its loss ended at 2.303 |" in text
    assert "10.0" not in text
    assert write_report(result, home=bench.home, out=tmp_path / "report").exists()
    assert all(min(curve.accuracy) > GUESS for curve in curves(result, home=bench.home)[:1])
    ((*_, val, test, n),) = [cells for cells in note_rows(result) if "stalled" in cells]
    assert (val, test, n) == ("stalled", "", "")
    metrics = study_metrics(result)
    assert result.stalls > 1  # in the search, and in the finals
    assert (metrics["stalls"], metrics["retried"]) == (result.stalls, result.retried)


def test_what_is_said_as_a_training_ends(bench: Bench):
    bench = replace(bench, trials=4, prune=False)
    bench.run(engine=Stalling(**KINDS), finals=False)
    lines = [line for event in bench.events for line in event_lines(event)]
    assert any(line.startswith("trial-0001: epoch 2/4 of a second try  loss") for line in lines)
    assert any(line.startswith("trial-0001: complete at ⅓ of the rate, val") for line in lines)
    ended = "trial-0003: stalled at ⅓ of the rate (its loss ended at 2.303), val"
    assert any(line.startswith(ended) for line in lines)
    tags = bench.tracker.trials["trial-0003"].tags
    assert (tags["stalled"], tags["reason"]) == ("yes", "its loss ended at 2.303")
    assert sum(isinstance(event, JobEnded) for event in bench.events) == 4


def test_a_bound_on_flops_holds_although_nobody_asked_for_a_second_try():
    bounds = Bounds(flops=1000.0, trial=Load(0.0, 400.0), finals=Load(0.0, 300.0))
    job = Job(key="a", graph="", dataset="", recipe=Recipe(), images=4 * TRAIN, seed=0)
    engine = Stalling(1, first=["a"])
    engine.submit(job)
    bounds.started("a", 400.0, 4)
    reports = [engine.events(0)[0] for _ in range(5)]
    for report in reports[:4]:
        bounds.reported(report)
        assert not bounds.cuts_trial(report)
    assert bounds.admits_trial() is False  # with the finals it would be 1100
    bounds.reported(reports[4])
    assert bounds.cuts_trial(reports[4])
    assert not bounds.cuts_final(reports[4])  # as a final, its 800 fit
    bounds.no_result, bounds.flops = True, 700.0
    assert not bounds.cuts_final(reports[4])
    bounds.no_result = False
    assert bounds.cuts_final(reports[4])


def test_a_bound_on_time_sees_the_epochs_of_a_second_try():
    bounds = Bounds(time_s=10.0)
    engine = Stalling(1, first=["a"], epoch_s=lambda key, epoch: 1.0)
    engine.submit(Job(key="a", graph="", dataset="", recipe=Recipe(), images=400, seed=0))
    bounds.started("a", 1.0, 4)
    for now in range(1, 5):
        bounds.at(float(now))
        bounds.reported(report := engine.events(0)[0])
        assert not bounds.cuts_final(report)
    # The second try is slow: its first epoch took three seconds, and three are left.
    report = replace(engine.events(0)[0], wall_s=7.0)
    bounds.at(7.0)
    bounds.reported(report)
    assert bounds.cuts_final(report)


def test_a_full_training_that_stalls_says_so_and_the_tracker_hears_it_again(tmp_path: Path):
    from archsearch.settings import RunSettings

    settings = RunSettings(network="lenet5", epochs=3, seeds=2, workers=1, home=str(tmp_path))
    world = World(engine=lambda setups, folder: Stalling(
        1, train_images=1259, both=["final-lenet5-seed1"], first=["final-lenet5-seed2"]
    ))  # fmt: skip
    result = world.run(settings)
    [row] = result.rows
    assert (row.stalled, row.stalls, row.retried, row.rate_share) == (False, 1, 1, 1 / 3)
    assert (row.test.n, row.lost) == (1, 1)
    assert "⅓ rate" in shown(leaderboard(result))
    again = World()
    track(result.study, home=tmp_path, services=again.services())
    for key in ("final-lenet5-seed1", "final-lenet5-seed2"):
        assert again.tracker.trials[key].history == world.tracker.trials[key].history
        assert len(again.tracker.trials[key].history["loss"]) == 6
