import numpy as np
import pytest

from archsearch.report.page.edf import error_distribution
from tests.report.page.made import result, row


def test_it_is_the_empirical_distribution_of_what_came_to_its_end():
    accuracies = np.random.default_rng(0).uniform(0.5, 0.9, 20)
    rows = [row(f"trial-{n:04d}", val_accuracy=float(a)) for n, a in enumerate(accuracies)]
    others = [
        row("trial-0030", val_accuracy=0.1, status="pruned"),
        row("trial-0031", val_accuracy=0.1, stalled=True),
        row("resnet", role="baseline", origin="published", val_accuracy=0.1),
    ]
    chart = error_distribution([result(rows=(*rows, *others))])
    errors = np.array([one["error"] for one in chart.spec["data"]["values"]])
    shares = [one["share"] for one in chart.spec["data"]["values"]]
    wanted = [np.mean(100 * (1 - accuracies) <= error + 1e-3) for error in errors]
    assert shares == pytest.approx(wanted)
    assert errors == pytest.approx(np.sort(100 * (1 - accuracies)), abs=1e-3)


def test_short_trainings_are_not_mixed_with_long_ones():
    rows = (
        row("trial-0000", rung=1, val_accuracy=0.9),
        row("trial-0001", rung=0, val_accuracy=0.5),
    )
    chart = error_distribution([result(rows=rows)])
    assert [one["error"] for one in chart.spec["data"]["values"]] == [10.0]


def test_studies_are_told_apart_only_where_there_are_several():
    one, two = error_distribution([result()]), error_distribution([result(), result("other")])
    assert "color" not in one.spec["encoding"]
    assert len(one.numbers.heads) == 2
    assert two.spec["encoding"]["color"]["field"] == "study"
    assert {row[0].text for row in two.numbers.rows} == {"study-one", "other"}
    assert error_distribution([result(rows=())]) is None
