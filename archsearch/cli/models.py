"""Commands about exported models: predict, evaluate, visualize."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from archsearch.cli.options import WholeNumber, home_option, json_option, print_json, say
from archsearch.units import counted, printable

if TYPE_CHECKING:
    from archsearch.inference.exported import Model

_MOST_CLASSES = 20  # a confusion matrix of more is no table for a window
_MOST_BAD = 10


@click.command(
    epilog="Examples: archsearch predict model/ photos/ --top 3 · archsearch predict model.keras "
    "cat.jpg dog.jpg --json"
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES…")
@click.option("--top", type=WholeNumber(1), default=1, show_default=True, help="Classes to name.")
@json_option
def predict(model: Path, images: tuple[str, ...], top: int, as_json: bool) -> int:
    """Name the class of each image file, with its probability; folders give all of theirs.

    MODEL is what `export` wrote, in any format. Images are read as in training. Exit status 1 where a file
    could not be read.
    """
    from archsearch.inference.image_files import image_files
    from archsearch.inference.predict import predict
    from archsearch.report.live import progress_bar

    files = image_files(images)
    opened = _opened(model)
    with _quiet() as terminal, progress_bar("images", stream=terminal) as progress:
        found = list(predict(opened, files, top=top, progress=progress))
    bad = [one for one in found if one.reason]
    if as_json:
        good = [one.to_dict() for one in found if not one.reason]
        print_json(
            {"model": str(model), "predictions": good, "bad": [one.to_dict() for one in bad]}
        )
    elif len(bad) < len(found):
        from archsearch.report.tables import new_table, show

        table = new_table("image", "class", ">probability")
        for one in found:
            for name, probability in zip(one.classes, one.probabilities, strict=True):
                table.add_row(printable(one.file), printable(name), f"{probability:.1%}")
        show(table)
    _say_bad([(str(one.file), one.reason) for one in bad], len(found))
    return 1 if bad else 0


@click.command(
    epilog="Examples: archsearch evaluate model/ digits · archsearch evaluate model.keras photos/ "
    "--split all --json"
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("data", metavar="DATA")
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train", "all"]),
    help="Which images; default: test where there is one, else all.",
)
@home_option
@json_option
def evaluate(model: Path, data: str, split: str | None, home: Path, as_json: bool) -> int:
    """Show how well a model does: accuracy, per class, confusion, calibration, latency.

    DATA is what --data of `run` takes. Of the data that the model was trained with, the test images of its
    study count. Exit status 1 where an image could not be read.
    """
    from archsearch.inference.evaluate import evaluate
    from archsearch.report.live import progress_bar

    opened = _opened(model)
    with _quiet() as terminal, progress_bar("images", stream=terminal) as progress:
        found = evaluate(opened, data, home=home, split=split, progress=progress)
    if as_json:
        print_json(found.to_dict())
    else:
        from archsearch.report import model_tables, tables

        tables.show(*model_tables.evaluation(found, most_classes=_MOST_CLASSES))
    _say_bad(found.bad, found.scores.images + len(found.bad))
    return 1 if found.bad else 0


@click.command(
    epilog="Examples: archsearch visualize model/ photos/ --out seen/ · archsearch visualize model.keras "
    "cat.jpg --class dog"
)
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, metavar="IMAGES…")
@click.option(
    "--out", type=click.Path(path_type=Path), default="seen", show_default=True, help="Folder."
)
@click.option("--class", "label", metavar="NAME", help="Explain this class; default: the answer.")
@click.option(
    "--shown", type=WholeNumber(1), default=8, show_default=True, help="Images with maps."
)
@click.option("--units", type=WholeNumber(1), default=6, show_default=True, help="Units a stage.")
@click.option("--force", is_flag=True, help="Replace what is at --out.")
@json_option
def visualize(
    model: Path,
    images: tuple[str, ...],
    out: Path,
    label: str | None,
    shown: int,
    units: int,
    force: bool,
    as_json: bool,
) -> int:
    """Draw what a network sees in images: a page with Grad-CAM, occlusion, strongest units, filters.

    The strongest units are looked for in all of the images, maps are drawn of the first --shown.
    """
    from archsearch.inference.image_files import image_files
    from archsearch.inference.visualization.visualize import Wanted
    from archsearch.inference.visualization.visualize import visualize as draw
    from archsearch.report.live import progress_bar

    wanted = Wanted(shown=shown, units=units, label=label)
    files, opened = image_files(images), _opened(model)
    with _quiet() as terminal, progress_bar("pictures", stream=terminal) as progress:
        made = draw(opened, files, out, wanted=wanted, overwrite=force, progress=progress)
    if as_json:
        bad = [{"file": name, "reason": reason} for name, reason in made.bad]
        print_json({"page": str(made.page), "pictures": list(made.pictures), "bad": bad})
    else:
        say(f"Drew {counted(len(made.pictures), 'picture')}; open {made.page}")
    _say_bad(made.bad, len(files))
    return 1 if made.bad else 0


def _opened(path: Path) -> "Model":
    """Open a model, with frameworks set up as in archsearch's own processes."""
    from archsearch.inference.exported import open_model
    from archsearch.training.devices import cores, gpu_numbers
    from archsearch.training.setup import WorkerSetup

    WorkerSetup(threads=cores(), gpu=",".join(gpu_numbers()) or None).apply()
    with _quiet():
        opened = open_model(path)
    if opened.facts.resize is None:
        say(
            f"{path} was written by an earlier version, which did not say how images of another shape were "
            "resized: they are cropped at their edges",
            error=True,
        )
    return opened


@contextmanager
def _quiet() -> Iterator[TextIO]:
    """Keep what libraries write off the terminal: TensorFlow 2.21 heeds no setting. Gives a way there."""
    try:
        kept = os.dup(2)
    except OSError:  # closed by whoever started this: nobody reads it
        yield sys.stderr
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        with open(kept, "w", encoding="utf-8", errors="replace", closefd=False) as terminal:
            yield terminal
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _say_bad(bad: "list[tuple[str, str]] | tuple[tuple[str, str], ...]", total: int) -> None:
    """Say which files could not be read, the first of them by name."""
    if not bad:
        return
    for name, reason in bad[:_MOST_BAD]:
        say(f"{printable(name)}: {reason}", error=True)
    more = f", {len(bad) - _MOST_BAD} more than are named" if len(bad) > _MOST_BAD else ""
    say(f"{len(bad)} of {counted(total, 'image')} could not be read{more}", error=True)
