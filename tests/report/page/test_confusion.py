import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from archsearch.archive.study_folder import StudyFolder
from archsearch.report.page.confusion import MOST_CLASSES, MOST_PICTURES, answers_of, mistakes
from tests.report.page.made import answers, result


def blocks(found, kind: str) -> list:
    return [block for block in mistakes(found).blocks if block.kind == kind]


def test_the_matrix_is_scikit_learns():
    found = answers()
    chart = blocks(found, "chart")[0]
    wanted = confusion_matrix(found.labels, found.probabilities.argmax(1))
    drawn = [one["images"] for one in chart.spec["data"]["values"]]
    assert drawn == wanted.ravel().tolist()
    rows = [[cell.value for cell in row[1:]] for row in chart.numbers.rows]
    assert rows == [[*row, sum(row)] for row in wanted.tolist()]
    right = np.trace(wanted)
    assert f"names {100 * right / 60:.1f} % right" in mistakes(found).blocks[0].lines[0]


def test_the_pictures_are_the_surest_mistakes():
    found = answers()
    (gallery,) = blocks(found, "gallery")
    said = found.probabilities.argmax(1)
    sure = np.where(said == found.labels, 0, found.probabilities.max(1))
    assert [int(p.alt.split(",")[0].rpartition(" ")[2]) for p in gallery.pictures] == [
        int(n) for n in np.argsort(-sure, kind="stable")[: np.count_nonzero(sure)][:MOST_PICTURES]
    ]
    first = Image.open(io.BytesIO(base64.b64decode(gallery.pictures[0].url.partition(",")[2])))
    assert np.array_equal(np.asarray(first), found.images[np.argmax(sure)][:, :, 0])


def test_where_all_is_right_there_are_no_pictures_and_many_classes_have_no_matrix():
    classes = tuple(f"class {n}" for n in range(MOST_CLASSES + 1))
    labels = np.arange(len(classes))
    many = replace(
        answers(), classes=classes, labels=labels, numbers=labels, of=len(labels),
        probabilities=np.eye(len(classes)),
        images=np.zeros((len(classes), 100, 100, 3), np.uint8),
    )  # fmt: skip
    assert blocks(many, "gallery") == []
    assert [chart.key for chart in blocks(many, "chart")] == ["calibration"]


def test_what_was_left_out_of_many_images_is_said():
    found = replace(answers(), numbers=10 * np.arange(60), of=600)
    assert (
        mistakes(found)
        .blocks[0]
        .lines[0]
        .startswith("Of 60 test images, evenly chosen of 600, the winner names")
    )
    (gallery,) = blocks(found, "gallery")
    assert all(picture.lines[2].endswith("0") for picture in gallery.pictures)


def test_why_a_winner_is_not_asked_is_said(tmp_path):
    folder = StudyFolder(tmp_path, "study-one")
    gone = answers_of(result(best_key="final-0001-seed1"), folder)
    assert gone == "the weights of training final-0001-seed1 are gone"
    assert mistakes(gone).blocks[0].lines == (f"It was not asked: {gone}.",)
    assert answers_of(result(status="running", best_key="final-0001-seed1"), folder) == ""
    assert mistakes("") is None


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_size_are_small(channels: int):
    large = replace(answers(), images=np.zeros((60, 200, 120, channels), np.uint8))
    (gallery,) = blocks(large, "gallery")
    image = Image.open(io.BytesIO(base64.b64decode(gallery.pictures[0].url.partition(",")[2])))
    assert max(image.size) <= 64
