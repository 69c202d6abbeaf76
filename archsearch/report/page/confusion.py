"""What the winner gets wrong on the test images: confusion matrix, calibration, the surest mistakes."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.study_folder import StudyFolder
from archsearch.data.dataset import load, read_facts
from archsearch.errors import ArchsearchError
from archsearch.exchange.answers import AnswersRequest, ask
from archsearch.report.page.chart import (
    Block,
    Chart,
    Gallery,
    Numbers,
    Passage,
    Picture,
    Section,
    Spec,
    axis,
    cells,
    percent,
    spec_of,
    tips,
)
from archsearch.statistics.classification import Classification, classification

MOST_CLASSES: Final = 30
"""Classes up to which the whole matrix is drawn."""
MOST_PICTURES: Final = 12
_SIDE: Final = 64
"""Pixels up to which an image keeps its size; twelve larger ones would be most of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """The answers of a study's winner to the test images.

    Attributes:
        key: of its training whose weights are kept.
        classes: their names.
        numbers: (n,) of the images in the test split.
        of: how many test images there are.
        labels: (n,) the right classes.
        probabilities: (n, classes).
        images: (n, height, width, channels) bytes.
    """

    key: str
    classes: Sequence[str]
    numbers: npt.NDArray[np.int64]
    of: int
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    images: npt.NDArray[np.uint8]


def answers_of(result: StudyResult, folder: StudyFolder) -> Answers | str:
    """Ask the winner; or say why it is not asked, in one line: empty where there is none yet.

    The test images choose nothing here either: the study has ended with this winner.
    """
    winner, key = result.winner, result.best_key
    images = folder.home / "data" / result.dataset.digest
    if winner is None or key is None or result.status != "complete":
        return ""
    if not folder.weights(key).is_file():
        return f"the weights of training {key} are gone"
    if not images.is_dir():
        return "the prepared images are gone"
    try:
        request = AnswersRequest(
            graph=folder.read_graph(winner.graph),
            weights=str(folder.weights(key)),
            dataset=str(images),
        )
        [asked], test = ask([request]), load(images).test
    except ArchsearchError as error:  # what is damaged costs this part alone
        return str(error)
    if not len(test):
        return "there are no test images"
    return Answers(
        key=key,
        classes=read_facts(images)["classes"],
        numbers=asked.images,
        of=len(test),
        labels=np.asarray(test.labels, np.int64)[asked.images],
        probabilities=asked.probabilities,
        images=np.stack([np.asarray(test.images[number]) for number in asked.images]),
    )


def mistakes(found: Answers | str) -> Section | None:
    """Return the part about the winner's answers, or why it was not asked; None: there is no winner."""
    if isinstance(found, str):
        return _part(Passage(lines=(f"It was not asked: {found}.",))) if found else None
    scores = classification(found.labels, found.probabilities, found.classes)
    blocks: list[Block] = [_summary(found, scores)]
    if len(found.classes) <= MOST_CLASSES:
        blocks.append(_matrix(scores))
    blocks += [_pairs(scores), _calibration(scores), *_surest(found)]
    return _part(*blocks)


def _part(*blocks: Block) -> Section:
    return Section(key="mistakes", title="The winner's answers", blocks=blocks)


def _summary(found: Answers, scores: Classification) -> Passage:
    evenly = "" if scores.images == found.of else f", evenly chosen of {found.of:,},"
    return Passage(
        lines=(
            f"Of {scores.images} test images{evenly} the winner names {100 * scores.accuracy:.1f} % right "
            f"(95 %: {100 * scores.low:.1f} to {100 * scores.high:.1f}), balanced over the classes "
            f"{100 * scores.balanced_accuracy:.1f} %. This is training {found.key}, whose weights are kept "
            "for export; the test accuracy above is the mean over all of its trainings.",
        )
    )


def _matrix(scores: Classification) -> Chart:
    names = [one.name for one in scores.classes]
    values = [
        {
            "class": names[i], "answer": names[j], "images": count,
            "share": round(count / max(1, sum(row)), 4),
        }
        for i, row in enumerate(scores.confusion)
        for j, count in enumerate(row)
    ]  # fmt: skip
    right = sum(row[n] for n, row in enumerate(scores.confusion))
    return Chart(
        key="confusion",
        title="Confusion matrix",
        summary=f"{right} of {scores.images} test images lie on the diagonal, where they are named right.",
        spec=_heat(values, names),
        numbers=Numbers(
            title="The confusion matrix in numbers",
            heads=("class", *(f">as {name}" for name in names), ">images"),
            rows=tuple(
                cells(name, *row, sum(row))
                for name, row in zip(names, scores.confusion, strict=True)
            ),
        ),
        note="A row is a class, a column what the winner says; the deeper, the larger the share of the row.",
    )


def _heat(values: Sequence[dict[str, Any]], names: Sequence[str]) -> Spec:
    side = 26 * len(names)
    x = {"field": "answer", "type": "nominal", "sort": list(names), "title": "answer",
         "axis": {"labelAngle": -45}}  # fmt: skip
    y = {"field": "class", "type": "nominal", "sort": list(names), "title": "class"}
    share = {
        "field": "share",
        "type": "quantitative",
        "scale": {"domain": [0, 1], "range": [0, 1]},
        "legend": None,
    }
    tooltip = tips(
        ("class", "class"), ("answer", "answer"), ("images", "images", "d"),
        ("share", "share of the class", ".1%"),
    )  # fmt: skip
    number = {
        "condition": {"test": "datum.share > 0.6", "value": "var(--paper)"},
        "value": "var(--ink)",
    }
    return {
        **spec_of(values),
        "width": max(260, side),
        "height": max(220, side),
        "autosize": {"type": "pad"},
        "encoding": {"x": x, "y": y, "tooltip": tooltip},
        "layer": [
            {
                "mark": {"type": "rect", "color": "var(--heat-high)"},
                "encoding": {"opacity": share},
            },
            {
                "transform": [{"filter": "datum.images > 0"}],
                "mark": {"type": "text", "fontSize": 11, "aria": False},
                "encoding": {"text": {"field": "images"}, "color": number},
            },
        ],
    }


def _pairs(scores: Classification) -> Numbers:
    return Numbers(
        title="The commonest mistakes",
        heads=("class", "named as", ">images"),
        rows=tuple(cells(*one) for one in scores.confused(15)),
    )


def _calibration(scores: Classification) -> Chart:
    found = scores.calibration
    values = [
        {"images": n, "confidence": round(100 * sure, 3), "accuracy": round(100 * true, 3)}
        for n, sure, true in found.bins
    ]
    return Chart(
        key="calibration",
        title="Calibration",
        summary=(
            f"Accuracy against the winner's own confidence: the expected calibration error is "
            f"{100 * found.ece:.1f} points."
        ),
        spec=_reliability(values),
        numbers=Numbers(
            title="Calibration in numbers",
            heads=(">images", ">confidence, %", ">accuracy, %"),
            rows=tuple(cells(n, percent(sure), percent(true)) for n, sure, true in found.bins),
        ),
        note=(
            "On the dashed line a network is as often right as it says. Expected calibration error "
            f"(Guo et al. 2017) {100 * found.ece:.1f} points, Brier score {found.brier:.3f}, mean "
            f"negative log-likelihood {found.nll:.3f}."
        ),
    )  # fmt: skip


def _reliability(values: Sequence[dict[str, Any]]) -> Spec:
    x = axis("confidence", "confidence, %", scale={"domain": [0, 100]})
    y = axis("accuracy", "accuracy, %", scale={"domain": [0, 100]})
    size = {
        "field": "images", "type": "quantitative", "legend": None, "scale": {"range": [30, 500]},
    }  # fmt: skip
    tooltip = tips(
        ("images", "images", "d"), ("confidence", "confidence, %", ".1f"),
        ("accuracy", "accuracy, %", ".1f"),
    )  # fmt: skip
    return spec_of(
        values,
        encoding={"x": x, "y": y},
        layer=[
            {
                "data": {"values": [{"confidence": end, "accuracy": end} for end in (0, 100)]},
                "mark": {
                    "type": "line", "strokeDash": [4, 4], "color": "var(--soft)", "aria": False,
                },
            },
            {"mark": {"type": "line", "aria": False}},
            {
                "mark": {"type": "point", "filled": True},
                "encoding": {"size": size, "tooltip": tooltip},
            },
        ],
    )  # fmt: skip


def _surest(found: Answers) -> list[Block]:
    """Return the mistakes the winner is surest of; none where all is right."""
    answers = found.probabilities.argmax(axis=1)
    wrong = np.flatnonzero(answers != found.labels)
    if not len(wrong):
        return []
    sure = found.probabilities[wrong, answers[wrong]]
    chosen = wrong[np.argsort(-sure, kind="stable")][:MOST_PICTURES]
    pictures = tuple(
        _picture(found, int(index), int(answers[index]), int(found.labels[index]))
        for index in chosen
    )
    title = "Most confused images"
    return [Passage(lines=(f"{title}: the mistakes of which the winner is surest.",)),
            Gallery(title=title, pictures=pictures)]  # fmt: skip


def _picture(found: Answers, index: int, answer: int, label: int) -> Picture:
    said, right = found.classes[answer], found.classes[label]
    sure, number = found.probabilities[index, answer], found.numbers[index]
    return Picture(
        url=f"data:image/png;base64,{_png(found.images[index])}",
        alt=f"test image {number}, a {right} taken for {said}",
        lines=(f"{said}, {sure:.0%} sure", f"is {right}", f"test image {number}"),
    )


def _png(image: npt.NDArray[np.uint8]) -> str:
    from PIL import Image

    flat = image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3]
    made = Image.fromarray(flat)
    made.thumbnail((_SIDE, _SIDE))
    file = io.BytesIO()
    made.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode("ascii")
