"""Write the tables of formats.md: networks trained for a moment, in every format, loaded again and compared.

python docs/formats.py WORK digits                      the table of all formats; minutes on a few cores
python docs/formats.py WORK cifar10 onnx-int8 litert-int8   the same of some formats and other images

WORK is a folder that keeps what is trained, so that a second call goes on.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from archsearch.api import sample
from archsearch.data.dataset import Dataset, load
from archsearch.data.prepare import prepare
from archsearch.exchange.checking.agreement import compared, size_of
from archsearch.exchange.export import ExportRequest, read_trained, trained_probabilities
from archsearch.exchange.formats.format import Format, file_name
from archsearch.exchange.formats.registry import find_format, load_formats
from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import Job

PAGE: Final = Path(__file__).parent / "formats.md"
SPACES: Final = (
    "vgg", "resnet", "resnext", "densenet", "mobilenet_v2", "squeezenet", "inception", "fractal", "se",
)  # fmt: skip
BUDGET: Final = "10M"
EPOCHS: Final = 4


def network(space: str, size: tuple[int, int, int], *, budget: str = BUDGET) -> Graph:
    """Return a candidate's network; for resnext one of 8 groups, which the space has at larger budgets."""
    if space == "resnext":
        return groups_of_8(size)
    [candidate] = sample(space, budget, input=size, classes=10, count=1)
    return candidate.graph


def groups_of_8(size: tuple[int, int, int]) -> Graph:
    """Return a ResNeXt of four blocks, 8 groups each, of some 8 M FLOPs."""
    net = Tracer("resnext G8", size)
    x = net.relu(net.batch_norm(net.conv(net.input, 16, kernel=3)))
    for stage, width in enumerate((32, 64, 128, 256)):
        with net.scope(f"stage{stage + 1}"):
            stride = 1 if stage == 0 else 2
            y = net.relu(net.batch_norm(net.conv(x, width // 2, kernel=1)))
            y = net.conv(y, width // 2, kernel=3, stride=stride, groups=8)
            y = net.relu(net.batch_norm(y))
            y = net.batch_norm(net.conv(y, width, kernel=1))
            shortcut = net.batch_norm(net.conv(x, width, kernel=1, stride=stride))
            x = net.relu(net.add(y, shortcut))
    return net.finish(net.dense(net.global_avg_pool(x), 10))


def trained(
    space: str,
    data: Dataset,
    folder: Path,
    work: Path,
    *,
    budget: str = BUDGET,
    epochs: int = EPOCHS,
) -> ExportRequest:
    """Return what is exported of a space: its network, trained where that was not done."""
    place = work / data.name / space
    graph, weights = place / "graph.json", place / "weights.npz"
    if not weights.is_file():
        from archsearch.training.fit import train

        place.mkdir(parents=True, exist_ok=True)
        graph.write_text(to_json(network(space, data.input, budget=budget)), encoding="utf-8")
        job = Job(
            key=space,
            graph=graph.read_text(encoding="utf-8"),
            dataset=str(folder),
            recipe=Recipe(),
            images=epochs * len(data.train),
            seed=0,
            backend="torch",
            weights=str(weights),
        )
        outcome = train(job, lambda report: True)
        print(space, outcome.status, outcome.val_accuracy, flush=True)
    return ExportRequest(
        graph=graph.read_text(encoding="utf-8"),
        weights=str(weights),
        dataset=str(folder),
        out=str(place),
    )


def write(form: Format, request: ExportRequest) -> str:
    """Write a model; return why that cannot be, or nothing."""
    place = Path(request.out) / file_name(form)
    if place.exists():
        return ""
    try:
        form.write(read_trained(request), place)
    except Exception as error:  # what stands in the table
        return f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
    return ""


def answer(name: str, folder: Path, places: Sequence[str]) -> None:
    """Load models of a format and keep what each answers to the validation images."""
    form, images = find_format(name), np.asarray(load(folder).val.images)
    for place in map(Path, places):
        kept = place / f"{name}.answers.npy"
        if kept.exists() or kept.with_name(f"{name}.failed").exists():
            continue
        try:
            np.save(kept, form.call(place / file_name(form), images))
        except Exception as error:
            (place / f"{name}.failed").write_text(f"{type(error).__name__}: {str(error)[:80]}")


def ask(name: str, folder: Path, places: Sequence[str]) -> None:
    """Have a new process load models of a format; one that ends over a model goes on with the next."""
    command = [sys.executable, __file__, "--answer", name, str(folder), *places]
    while (status := subprocess.run(command, check=False).returncode) != 0:
        told = (f"{name}.answers.npy", f"{name}.failed")
        left = [p for p in map(Path, places) if not any((p / each).exists() for each in told)]
        (left[0] / f"{name}.failed").write_text(f"its runtime ended with status {status}")


def rows(
    forms: Sequence[Format], requests: Mapping[str, ExportRequest], data: Dataset, folder: Path
) -> Iterator[dict[str, Any]]:
    """Give a comparison for each network and format."""
    failed = {}
    for form in forms:
        failed |= {(form.name, space): write(form, asked) for space, asked in requests.items()}
        places = [asked.out for asked in requests.values() if not failed[form.name, _of(asked)]]
        ask(form.name, folder, places)
    for space, asked in requests.items():
        known = read_trained(asked)
        wanted = trained_probabilities(known, np.asarray(known.sample))
        for form in forms:
            row = {"network": space, "format": form.name, "why": failed[form.name, space]}
            place = Path(asked.out) / f"{form.name}.answers.npy"
            if not place.is_file():
                yield {
                    **row,
                    "why": row["why"] or place.with_name(f"{form.name}.failed").read_text(),
                }
                continue
            size = size_of(Path(asked.out) / file_name(form))
            yield {**row, "size_bytes": size} | compared(
                np.load(place), wanted, known.labels, exact=False
            )


def _of(asked: ExportRequest) -> str:
    return Path(asked.out).name


def table(found: Sequence[Mapping[str, Any]], forms: Sequence[Format]) -> str:
    """Return the comparison as Markdown: a row a network, a column a format."""
    names = [form.name for form in forms]
    lines = ["| network | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for space in dict.fromkeys(row["network"] for row in found):
        mine = {row["format"]: row for row in found if row["network"] == space}
        cells = [cell(mine[form.name], form) for form in forms]
        lines.append(f"| {space} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def cell(row: Mapping[str, Any], form: Format) -> str:
    """Return what a table says of one export."""
    if row["why"]:
        return f"no: {row['why']}"
    text = f"{row['difference']:.0e}, {row['same_top1']}/{row['images']}, {row['size_bytes'] / 1e3:.0f} kB"
    if form.exact:
        return text
    return f"{text}, {100 * row['trained_accuracy']:.1f} → {100 * row['accuracy']:.1f} %"


def filled(text: str, part: str, content: str) -> str:
    """Return the page with one of its parts written anew."""
    begin, end = f"<!-- {part} -->\n", f"\n<!-- /{part} -->"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"


def main(work: Path, source: str, names: Sequence[str]) -> None:
    """Train, export, compare and write a table."""
    folder = prepare(source, home=work, input=(32, 32, None))
    data = load(folder)
    forms = [find_format(name) for name in names] or list(load_formats().values())
    requests = {space: trained(space, data, folder, work) for space in SPACES}
    found = list(rows(forms, requests, data, folder))
    part = Path(source).stem
    (work / f"{part}.json").write_text(json.dumps(found, indent=1))
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(text, part, table(found, forms)), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1] == "--answer":
        answer(sys.argv[2], Path(sys.argv[3]), sys.argv[4:])
    else:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
