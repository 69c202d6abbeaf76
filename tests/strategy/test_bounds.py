"""The account of bounds: a table of what passed and what fits."""

import pytest

from archsearch.strategy.bounds import Bounds, Load
from archsearch.training.job import EpochReport, Outcome


def report(key: str, epoch: int, wall_s: float, *, outdated: bool = False) -> EpochReport:
    return EpochReport(
        key=key, epoch=epoch, loss=1, accuracy=0, val_loss=1, val_accuracy=0, images_per_s=1,
        learning_rate=1, wall_s=wall_s, outdated=outdated,
    )  # fmt: skip


def test_the_time_for_the_export_is_learnt_from_how_trainings_start():
    bounds = Bounds(time_s=100.0, export=True, start_s=9.0)
    before = bounds.closing_s
    for key in ("a", "b", "c"):
        bounds.started(key, 1.0, 3)
        for epoch, wall_s in enumerate((5.0, 8.0, 11.0), start=1):  # 2 s to start, 3 s an epoch
            bounds.reported(report(key, epoch, wall_s))
    assert bounds.closing_s == pytest.approx(before - 2 * 7.0)
    assert Bounds(time_s=100.0, start_s=9.0).closing_s == 0


@pytest.mark.parametrize("final", [True, False])
def test_what_a_training_needs_to_start_is_not_taken_for_an_epoch(final: bool):
    bounds = Bounds(time_s=200.0, start_s=58.0)
    cuts = bounds.cuts_final if final else bounds.cuts_trial
    bounds.started("a", 1.0, 30)
    for epoch, wall_s in ((1, 61.0), (2, 63.0), (20, 99.0)):  # 59 s to start, 2 s an epoch
        bounds.at(wall_s)
        found = report("a", epoch, wall_s)
        bounds.reported(found)
        assert not cuts(found)
    bounds.started("b", 1.0, 30)
    for epoch, wall_s in ((1, 65.0), (2, 72.0)):  # 7 s an epoch
        found = report("b", epoch, wall_s)
        bounds.reported(found)
    assert cuts(found)


def test_what_a_training_spent_counts_however_it_ended():
    bounds = Bounds(flops=1000.0, trial=Load(0.0, 400.0))
    bounds.started("a", 400.0, 10)
    assert bounds.admits_trial()
    bounds.started("b", 400.0, 10)
    assert not bounds.admits_trial()  # what runs is reserved for in full
    failed = Outcome(key="a", status="failed", reason="worker died")
    bounds.ended(failed, spent_flops=120.0, trial=True)
    assert bounds.spent_flops == 120.0
    assert bounds.admits_trial()


def test_a_shorter_training_needs_its_share_of_a_bound():
    bounds = Bounds(flops=1000.0, trial=Load(0.0, 600.0))
    bounds.spent_flops = 850.0
    assert bounds.admits_trial(0.25)
    assert not bounds.admits_trial(0.5)
    timed = Bounds(time_s=100.0, trial=Load(60.0))
    timed.at(70.0)
    assert not timed.admits_trial()
    assert timed.admits_trial(0.5)
    # One of a quarter of the length that took 15 s says that whole ones take 60.
    timed.started("a", 1.0, 1, share=0.25)
    timed.at(85.0)
    timed.ended(Outcome(key="a", status="complete"), spent_flops=0, trial=True)
    assert timed.trial_s == pytest.approx(60.0)


def test_short_trainings_leave_room_for_a_last_full_one_where_the_bound_has_it():
    roomy = Bounds(flops=6.0, trial=Load(flops=1.0), finals=Load(flops=9.0))
    roomy.spent_flops = 2.7  # three and a quarter are left, two of them for the finals
    assert roomy.admits_trial(0.25)
    roomy.spent_flops = 2.8
    assert not roomy.admits_trial(0.25)
    tight = Bounds(flops=5.0, trial=Load(flops=1.0), finals=Load(flops=9.0))
    tight.spent_flops = 2.7
    assert tight.admits_trial(0.25)


def test_a_training_taken_up_again_is_judged_by_where_it_stands():
    bounds = Bounds(time_s=100.0)
    bounds.at(90.0)  # its 30 epochs took 2 s each; it goes on after the 28th
    bounds.started("a", 1.0, 30)
    for epoch in range(1, 29):
        found = report("a", epoch, 2.0 * epoch, outdated=epoch < 28)
        bounds.reported(found)
        assert not bounds.cuts_trial(found)
    bounds.at(99.0)
    assert bounds.cuts_trial(found)


def test_no_latency_is_measured_that_would_make_a_run_late():
    bounds = Bounds(time_s=100.0, export=True, start_s=2.0, process_s=5.0)
    # A process and a network in it; the export: 2 s, two starts; a latency: 2 s.
    bounds.at(86.5)
    assert bounds.admits_latency()
    bounds.at(87.5)
    assert not bounds.admits_latency()
    assert bounds.admits_latency(under_way=True)
    bounds.at(91.5)
    assert not bounds.admits_latency(under_way=True)
    bounds.trial = Load(30.0)  # all but the export and the calls went on beside the last training
    assert bounds.admits_latency()
    bounds.at(94.5)
    assert not bounds.admits_latency()
    assert Bounds().admits_latency()


def test_what_a_part_took_says_what_the_whole_takes_which_starts_once():
    bounds = Bounds(time_s=82.0, trial=Load(seconds=42.0), start_s=2.0)
    assert bounds.in_full_s(12.0, 0.25) == 42.0
    assert bounds.in_full_s(42.0, 1.0) == 42.0
    assert bounds.in_full_s(1.0, 0.5) == 1.0  # it was over before it had started
    # A tenth of it takes two seconds and a tenth of forty.
    bounds.now_s = 76.0
    assert bounds.admits_trial(0.1)
    bounds.now_s = 76.1
    assert not bounds.admits_trial(0.1)


def test_the_last_trainings_of_a_search_leave_the_finals_two():
    """Of ten trainings the finals have three; all that are asked for are twenty."""
    one = Load(seconds=10.0, flops=10.0)
    for bound in ({"flops": 100.0}, {"time_s": 100.0}):
        bounds = Bounds(**bound, trial=one, finals=Load(seconds=200.0, flops=200.0))
        bounds.spent_flops, bounds.now_s = 65.0, 65.0
        assert not bounds.admits_trial()
        assert bounds.admits_trial(closing=True)
        bounds.spent_flops, bounds.now_s = 75.0, 75.0
        assert not bounds.admits_trial(closing=True)


def test_a_last_training_that_was_admitted_is_not_cut_short_for_finals_it_may_take_from():
    """Of 200 s 20 are kept after it, where a trial before it must leave three quarters of 60."""
    bounds = Bounds(time_s=200.0, trial=Load(seconds=10.0), finals=Load(seconds=400.0))
    bounds.at(155.0)
    assert bounds.admits_trial(closing=True)
    bounds.started("a", 1.0, 4)
    for epoch in (1, 2):
        report = EpochReport(
            key="a", epoch=epoch, loss=1.0, accuracy=0.5, val_loss=1.0, val_accuracy=0.5,
            learning_rate=0.1, wall_s=2.5 * epoch, images_per_s=1.0,
        )  # fmt: skip
        bounds.at(155.0 + 2.5 * epoch)
        bounds.reported(report)
    assert bounds.cuts_trial(report)
    assert not bounds.cuts_trial(report, closing=True)


def test_a_network_whose_time_is_known_needs_that():
    bounds = Bounds(time_s=100.0, trial=Load(seconds=10.0))
    bounds.now_s = 70.0
    assert bounds.admits_trial()
    assert not bounds.admits_trial(known_s=31.0)
    assert bounds.admits_trial(0.5, known_s=31.0)
