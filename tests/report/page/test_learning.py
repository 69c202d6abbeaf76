import numpy as np
import pytest

from archsearch.archive.study_folder import StudyFolder
from archsearch.report.analysis import all_curves
from archsearch.report.page.learning import MOST_LINES, bands, learning
from archsearch.training.job import EpochReport
from tests.report.page.made import curve, material, result, row, score


def test_bands_are_mean_and_deviation_over_the_seeds_that_were_there():
    long, short = (0.2, 0.5, 0.9), (0.4, 0.7)
    found = bands([curve("a", "A", 1, *long), curve("a", "A", 2, *short)])
    both = np.array([long[:2], short])
    assert [one["mean"] for one in found] == pytest.approx([*(100 * both.mean(0)), 90.0], abs=1e-3)
    deviations = [*(100 * both.std(0, ddof=1)), 0.0]
    assert [one["sd"] for one in found] == pytest.approx(deviations, abs=1e-3)
    assert [one["n"] for one in found] == [2, 2, 1]


def test_every_seed_of_a_final_is_read(tmp_path):
    folder = StudyFolder(tmp_path, "study-one")
    for seed in (1, 3):  # the second one failed before its first epoch
        for epoch in (1, 2):
            folder.add_epoch(
                EpochReport(
                    key=f"final-0001-seed{seed}", epoch=epoch, loss=1, accuracy=0.5, val_loss=1,
                    val_accuracy=0.1 * seed * epoch, images_per_s=1, learning_rate=1, wall_s=1,
                )
            )  # fmt: skip
    rows = (row("trial-0001", final_val=score(0.5), trainings=4),)
    found = all_curves(result(rows=rows), home=tmp_path)
    assert [(one.seed, one.accuracy) for one in found] == [
        (1, pytest.approx((0.1, 0.2))), (3, pytest.approx((0.3, 0.6))),
    ]  # fmt: skip


def test_no_more_lines_than_colours_and_what_is_left_out_is_said():
    curves = tuple(curve(f"trial-{n}", f"N{n}", 1, 0.5, 0.6) for n in range(MOST_LINES + 3))
    chart = learning(material(curves=curves)).blocks[0]
    assert len({one["name"] for one in chart.spec["data"]["values"]}) == MOST_LINES
    assert "3 retrained networks" in chart.note


def test_the_search_is_drawn_in_its_order_with_the_best_so_far():
    chart = learning(material()).blocks[1]
    assert [one["trial"] for one in chart.spec["data"]["values"]] == [0, 1, 2, 4]
    line = chart.spec["layer"][0]["data"]["values"]
    assert [one["accuracy"] for one in line] == [80.0, 80.0]  # its ends; what was pruned is no best
    assert learning(material(curves=(), numbers={})) is None
