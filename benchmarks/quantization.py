"""What 8 bits cost: nine families trained for a few epochs, exported, loaded again and asked.

python benchmarks/quantization.py --work WORK --out FILE.jsonl                       the digits
python benchmarks/quantization.py --work WORK --out FILE.jsonl --images CIFAR10.npz  4,000 images of CIFAR-10

WORK keeps what is trained. FILE has a line for each network and format; a call that was interrupted goes on.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from trainings import keep, kept, write_images

sys.path.append(str(Path(__file__).parents[1] / "docs"))
from formats import SPACES, trained, write

from archsearch.data.dataset import load
from archsearch.data.prepare import prepare
from archsearch.exchange.checking.agreement import compared, size_of
from archsearch.exchange.export import ExportRequest, read_trained, trained_probabilities
from archsearch.exchange.formats.format import file_name
from archsearch.exchange.formats.registry import find_format

MOST = 4000
"""Images of CIFAR-10 that are asked about."""


def images_of(options: argparse.Namespace) -> Path:
    """Return the folder of the prepared images."""
    if options.images is None:
        return prepare("digits", home=options.work, input=(32, 32, None))
    folder: Path = options.work / "data" / options.images.stem
    if not folder.is_dir():
        write_images(
            options.images, folder, train=options.train, val=options.val, skip=options.skip
        )
    return folder


def asked(options: argparse.Namespace, name: str, folder: Path) -> ExportRequest:
    """Return a network to export, trained where that was not done."""
    work, budget = options.work, options.flops
    return trained(name, load(folder), folder, work, budget=budget, epochs=options.epochs)


def measured(request: ExportRequest, form_name: str) -> dict[str, Any]:
    """Export and compare on images that were not trained on; of a failure, its reason."""
    form, known = find_format(form_name), read_trained(request)
    data = load(Path(request.dataset))
    images = np.concatenate([data.val.images, data.test.images])[:MOST]
    labels = np.concatenate([data.val.labels, data.test.labels])[:MOST].astype(np.int64)
    wanted = trained_probabilities(known, images)
    if why := write(form, request):
        return {"why": why}
    out = Path(request.out) / file_name(form)
    try:
        got = form.call(out, images)
    except Exception as error:  # what stands in the table
        return {"why": f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"}
    return {"size_bytes": size_of(out)} | compared(got, wanted, labels, exact=False)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the lines as Markdown: a row a network, two columns a data set and format."""
    columns = list(dict.fromkeys((row["data"], row["format"]) for row in rows))
    found = {(row["network"], row["data"], row["format"]): row for row in rows}
    titles = [f"{data}, {form}" for data, form in columns]
    lines = ["| network | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for name in dict.fromkeys(row["network"] for row in rows):
        cells = [_cell(found.get((name, *column))) for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None) -> str:
    if row is None or "why" in row:
        return "–" if row is None else f"no: {row['why']}"
    lost = 100 * (row["accuracy"] - row["trained_accuracy"])
    same = 100 * row["same_top1"] / row["images"]
    return f"{100 * row['trained_accuracy']:.1f} %, {lost:+.2f}, {same:.1f} % the same"


def main() -> None:
    """Measure what is not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder that keeps what is trained"
    )
    parser.add_argument("--out", type=Path, required=True, help="JSON lines")
    parser.add_argument("--images", type=Path, help="packed as benchmarks/trainings.py reads it")
    parser.add_argument("--train", type=int, default=4000, help="images, where they are packed")
    parser.add_argument("--val", type=int, default=4000, help="images, where they are packed")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--flops", default="10M")
    parser.add_argument("--networks", nargs="+", default=SPACES)
    parser.add_argument("--formats", nargs="*", default=("onnx-int8", "litert-int8"))
    parser.add_argument("--table", action="store_true", help="print what is there")
    options = parser.parse_args()
    for name in () if options.table else options.networks:
        folder = images_of(options)
        request = asked(options, name, folder)
        for form in options.formats:
            key = {"data": load(folder).name, "network": name, "format": form,
                   "epochs": options.epochs, "flops": options.flops}  # fmt: skip
            if not any(key.items() <= row.items() for row in kept(options.out)):
                keep(options.out, key | measured(request, form))
    print(table(kept(options.out)))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main()
