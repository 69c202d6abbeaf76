from pathlib import Path

import numpy as np
import pytest

from archsearch.errors import ArchsearchError
from archsearch.exchange.checking.agreement import Exported, compared, size_of

WANTED = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
LABELS = np.array([0, 1, 0, 0])


def exported(**found) -> Exported:
    return Exported(path=Path("m"), format="onnx-int8", size_bytes=1, **found)


def test_equal_answers_are_said_to_be():
    found = compared(WANTED + 1e-6, WANTED, LABELS, exact=True)
    assert found == {"images": 4, "difference": pytest.approx(1e-6), "same_top1": 4}
    made = exported(**found)
    assert made.warning is None
    assert made.sentence() == (
        "on 4 validation images its probabilities differ by at most 1.0e-06 from the trained network's, "
        "the top class is the same on 4"
    )


def test_what_rounding_costs_is_counted_and_warned_of():
    other = WANTED.copy()
    other[2] = 0.45, 0.55  # a right answer becomes a wrong one
    made = exported(**compared(other, WANTED, LABELS, exact=False))
    assert (made.same_top1, made.trained_accuracy, made.accuracy, made.lost) == (3, 0.75, 0.5, 0.25)
    assert "onnx-int8 loses 25.0 points of accuracy on 4 validation images" in made.warning
    assert made.sentence().endswith("accuracy 50.00 %, trained 75.00 %")
    better = compared(WANTED, other, LABELS, exact=False)
    assert exported(**better).warning is None


def test_a_point_less_is_no_warning():
    found = {"images": 400, "difference": 0.1, "same_top1": 396, "trained_accuracy": 0.9}
    assert exported(accuracy=0.89, **found).warning is None
    assert exported(accuracy=0.8875, **found).warning is not None


@pytest.mark.parametrize("exact", [True, False])
def test_answers_that_are_none_are_refused(exact: bool):
    for wrong, says in (
        (WANTED[:, :1], r"shape \(4, 1\)"),
        (np.full_like(WANTED, np.nan), "differ by up to nan"),
    ):
        with pytest.raises(ArchsearchError, match=says):
            compared(wrong, WANTED, LABELS, exact=exact)
    if exact:
        with pytest.raises(ArchsearchError, match=r"differ by up to 0\.01 on 4 images"):
            compared(WANTED + 0.01, WANTED, LABELS, exact=True)


def test_sizes_are_of_all_files(tmp_path: Path):
    (tmp_path / "m" / "deep").mkdir(parents=True)
    (tmp_path / "m" / "a").write_bytes(b"12")
    (tmp_path / "m" / "deep" / "b").write_bytes(b"345")
    assert size_of(tmp_path / "m") == 5
    assert size_of(tmp_path / "m" / "a") == 2
