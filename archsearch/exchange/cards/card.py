"""A model card as Markdown with a YAML head, laid out as model hubs read it (Mitchell et al. 2019)."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from archsearch.data.dataset import SPLITS
from archsearch.exchange.cards import licence
from archsearch.exchange.cards.judged import Judged
from archsearch.exchange.cards.usage import IMAGE, programs
from archsearch.exchange.formats.format import Format, Trained
from archsearch.readings.cost import cost
from archsearch.units import as_markdown, counted, format_count, format_ms

LIBRARIES: Final = ("archsearch", "keras", "tensorflow", "numpy", "pillow")
_MOST_CLASSES: Final = 100
_UNKNOWN: Final = "not known"


def card(trained: Trained, form: Format, name: str, judged: Judged) -> str:
    """Return the card of an export.

    Args:
        trained: what was exported, with all that its study knows in `about`.
        form: as what.
        name: of the file or folder, as the card's programs call it.
        judged: what the export itself was measured to do.
    """
    about = trained.about
    title = as_markdown(f"{about.get('network', trained.graph.name)} for {trained.dataset}")
    parts = (
        f"# {title}",
        _which(about),
        _intended(trained),
        _section("Data", _data(trained)),
        _section("Cost of a call", _cost(trained, judged)),
        _section("Accuracy", _accuracy(about, judged)),
        _section("Calibration", _calibration(judged)),
        _section("Latency", _latency(judged)),
        _section("Design rules", _rules(about.get("rules", {}))),
        _section("Preprocessing", _preprocessing(trained)),
        _section("Training", _training(about)),
        _loading(trained, form, name),
        licence.section(about),
    )
    return f"{_head(trained, name, judged)}\n" + "\n\n".join(parts) + "\n"


def marker(name: str) -> str:
    """Return the line by which a card of a model is known again."""
    return f"# archsearch: card of {json.dumps(name)}"


def _head(trained: Trained, name: str, judged: Judged) -> str:
    """Return the YAML that hubs read; strings are JSON's, which YAML takes."""
    scores = judged.scores
    dataset = {"name": trained.dataset, "type": trained.dataset, "split": "test"}
    metrics = [] if scores is None else [
        {"type": "accuracy", "value": round(scores.accuracy, 4), "name": "accuracy of this export"}
    ]  # fmt: skip
    result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}
    index = [{"name": str(trained.about.get("network", name)), "results": [result]}]
    lines = [
        "---",
        marker(name),
        f"license: {json.dumps(licence.head_name(trained.about), ensure_ascii=False)}",
        "pipeline_tag: image-classification",
        'tags: ["image-classification", "archsearch"]',
        'metrics: ["accuracy"]',
        *([f"model-index: {json.dumps(index, ensure_ascii=False)}"] if metrics else ()),
        "---",
    ]
    return "\n".join(lines)


def _section(title: str, lines: Iterator[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines)


def _which(about: Mapping[str, Any]) -> str:
    training = about.get("training")
    if members := about.get("members"):
        return _members(members)
    if not training:
        return "Which training this is of is not known."
    val, test = (_percent(training[f"{split}_accuracy"]) for split in ("val", "test"))
    return (
        f"This is training `{training['key']}` (seed {training['seed']}) of study "
        f"{as_markdown(training['study'])}. Its own validation accuracy is {val}, its own test accuracy "
        f"{test}. It was chosen among the trainings of its network by validation accuracy alone."
    )


def _members(members: Mapping[str, Any]) -> str:
    """Say of which trainings, in which views, an ensemble is; one alone may be all of it."""
    keys, views = members["keys"], members.get("views", ())
    listed, study = ", ".join(f"`{key}`" for key in keys), as_markdown(members["study"])
    val, test = (_percent(members[f"{split}_accuracy"]) for split in ("val", "test"))
    seen = f", each in {len(views)} views ({'; '.join(views)})" if len(views) > 1 else ""
    what = f"averages the probabilities of {counted(len(keys), 'training')} of study {study}: {listed}{seen}"
    if len(keys) == 1 and not seen:
        what = f"is training {listed} of study {study}"
    return (
        f"This {what}. Finalists were chosen one after the other by validation images (Caruana et al. 2004): "
        f"accuracy on these is {val}, on test images {test}."
    )


def _intended(trained: Trained) -> str:
    return (
        "## Intended use\n\n"
        f"Telling which of {len(trained.classes)} classes an image belongs to, for images like those of "
        f"{as_markdown(trained.dataset)}. It always names one of its classes, whatever an image shows, and "
        "was tested on no other kind of images. It is not meant for decisions about people."
    )


def _data(trained: Trained) -> Iterator[str]:
    data = trained.about.get("data", {})
    yield f"- name: {as_markdown(trained.dataset)}"
    yield f"- digest of content, size and split: `{data.get('digest', _UNKNOWN)}`"
    if counts := data.get("counts"):
        sizes = ", ".join(f"{counts[split]:,} {split}" for split in SPLITS if split in counts)
        yield f"- images: {sizes}"
    names = ", ".join(as_markdown(name) for name in trained.classes[:_MOST_CLASSES])
    more = len(trained.classes) - _MOST_CLASSES
    yield f"- classes: {names}" + (f" and {more} more" if more > 0 else "")


def _cost(trained: Trained, judged: Judged) -> Iterator[str]:
    found = cost(trained.graph)
    yield f"- {format_count(found.flops)} FLOPs (multiply-adds) of an image: {found.flops:,}"
    yield f"- {format_count(found.params)} trainable parameters: {found.params:,}"
    yield f"- {found.activation_bytes / 1e6:.2f} MB of activations of an image, in 32-bit floats"
    yield f"- {judged.size_bytes / 1e6:.2f} MB on disk"


def _accuracy(about: Mapping[str, Any], judged: Judged) -> Iterator[str]:
    yield "| | validation | test |"
    yield "|---|---|---|"
    if training := about.get("training"):
        own = (_percent(training[f"{split}_accuracy"]) for split in ("val", "test"))
        yield f"| this training (seed {training['seed']}) | {' | '.join(own)} |"
    if finals := about.get("finals"):
        spread = (_spread(finals.get(split)) for split in ("val", "test"))
        yield f"| the network: mean ± sd over its trainings | {' | '.join(spread)} |"
    scores = judged.scores
    if scores is not None:
        yield (
            f"| this export, on {counted(scores.images, 'test image')} | | {scores.accuracy:.1%} "
            f"({scores.low:.1%} to {scores.high:.1%} at 95 %); balanced {scores.balanced_accuracy:.1%} |"
        )


def _calibration(judged: Judged) -> Iterator[str]:
    if judged.scores is None:
        yield "Not measured: there are no test images."
        return
    found = judged.scores.calibration
    yield (
        f"Expected calibration error {found.ece:.3f} (Guo et al. 2017, 15 bins), negative log-likelihood "
        f"{found.nll:.3f}, Brier score {found.brier:.3f}, on {counted(judged.scores.images, 'test image')}."
    )


def _latency(judged: Judged) -> Iterator[str]:
    found = judged.latency
    if found is None:
        yield "Not measured: this format is loaded anew with every call."
        return
    yield (
        f"{format_ms(found.median_ms)} ms a call of one image ({format_ms(found.p10_ms)} to "
        f"{format_ms(found.p90_ms)} ms in 8 of 10 calls), on {found.device} with "
        f"{counted(found.threads, 'thread')}: {as_markdown(judged.machine)}."
    )


def _rules(rules: Mapping[str, Any]) -> Iterator[str]:
    held, broken = rules.get("held"), rules.get("broken")
    if held is None or broken is None:
        yield "Which rules the network was built to hold is not known."
        return
    if not held:
        yield "The network was built to hold none."
        return
    missed = {rule for rule, _ in broken}
    yield "- kept: " + (", ".join(rule for rule in held if rule not in missed) or "none")
    yield "- broken: " + ("" if broken else "none")
    for rule, message in broken:
        yield f"  - {rule}: {as_markdown(message)}"
    if obeyed := rules.get("obeyed"):
        yield f"- kept though the search was free of them: {', '.join(obeyed)}"


def _preprocessing(trained: Trained) -> Iterator[str]:
    height, width, channels = trained.input
    kind = "grey" if channels == 1 else "RGB" if channels == 3 else f"{channels} channels"
    resize = trained.resize
    how = {
        "crop": "scaled to cover the size and cut off at the edges (bicubic)",
        "squash": "each side scaled by itself (bicubic)",
    }[resize]
    yield f"- takes uint8 images of {height} × {width} pixels, {kind}, 0 to 255"
    yield "- floats of 0 to 1: `serve_float` of a SavedModel; else it refuses them, as ONNX and LiteRT do"
    yield "- Keras, OpenVINO and PyTorch cannot refuse: an image with no value above 1 is one of 0 to 1"
    yield f"- images of another shape are {how}; turned upright by EXIF; transparency laid on white"
    for kind, scale in trained.about.get("ranges", {}).items():
        of = "integers of more than 8 bits" if kind == "I" else "floating-point greys"
        yield f"- {of}: {scale['low']:g} to {scale['high']:g} become 0 to 255"
    mean = ", ".join(f"{value:.2f}" for value in trained.mean)
    std = ", ".join(f"{value:.2f}" for value in trained.std)
    yield f"- inside the model: less the mean ({mean}), over the standard deviation ({std})"
    yield "- gives a probability a class, in the order of the list above"


def _training(about: Mapping[str, Any]) -> Iterator[str]:
    if training := about.get("training"):
        yield f"- recipe {training['recipe']}, {counted(training['epochs'], 'epoch')}"
        yield f"- backend {training['backend']}, {training['precision']}"
        yield f"- seeds: study {training['study_seed']}, training {training['seed']}"
    yield f"- exported {datetime.now(UTC):%Y-%m-%d} with {', '.join(_versions())}"


def _versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {version(name)}"
        except PackageNotFoundError:
            continue


def _loading(trained: Trained, form: Format, name: str) -> str:
    lines = [
        "## How to use it",
        f"With archsearch:\n\n```sh\narchsearch predict {name} {IMAGE}\n```",
    ]
    resize = trained.resize
    found = programs(form, name, input=trained.input, classes=trained.classes, resize=resize)
    lines += [
        f"With {runtime}, without archsearch:\n\n```python\n{code}```"
        for runtime, code in found.items()
    ]
    return "\n\n".join(lines)


def _percent(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1%}"


def _spread(score: Mapping[str, Any] | None) -> str:
    if score is None:
        return _UNKNOWN
    sd = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
    return f"{100 * score['mean']:.1f}{sd} % (n = {score['n']})"
