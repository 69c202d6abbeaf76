"""Commands about single networks: profile and sample."""

import json
from pathlib import Path
from typing import Any

import click

from archsearch import api
from archsearch.cli.options import ImageSize, json_option, print_json, relax_option
from archsearch.ir.codec import to_dict
from archsearch.space.solve import Candidate
from archsearch.units import counted


@click.command(
    epilog="Examples: archsearch profile resnet50 · archsearch profile vgg16 --input 64x64x3 "
    "--classes 10 · archsearch profile vgg16 resnet50 resnext50_32x4d · archsearch profile "
    "mobilenet_v2 resnet50 --latency --batch 8 --device cpu"
)
@click.argument("names", nargs=-1, required=True, metavar="NAME|GRAPH.json|MODEL.keras…")
@click.option("--input", "size", type=ImageSize(), help="Image size; default: the network's own.")
@click.option("--classes", type=click.IntRange(2), help="Classes; default: the network's own.")
@click.option("--all", "every", is_flag=True, help="Show activations and normalisations too.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Draw memory, parameters and FLOPs per stage: FILE.png or FILE.svg.",
)
@click.option(
    "--latency", is_flag=True, help="Measure what a call takes, exported, on this machine."
)
@click.option("--batch", type=click.IntRange(1), help="Images a call, for --latency; default: 1.")
@click.option(
    "--device", metavar="D", help="For --latency: cpu, gpu or gpu:1; default: a GPU, if any."
)
@json_option
def profile(
    names: tuple[str, ...],
    size: tuple[int, int, int] | None,
    classes: int | None,
    every: bool,
    plot: Path | None,
    latency: bool,
    batch: int | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Show a network's layers: output, memory, parameters, FLOPs (multiply-adds), receptive field.

    Several networks are compared side by side.
    """
    from archsearch.readings import table

    if not latency and (batch is not None or device is not None):
        raise click.UsageError("--batch and --device are for --latency")
    graphs = [api.network(name, input=size, classes=classes) for name in names]
    measured = api.latencies(graphs, batch=batch or 1, device=device) if latency else []
    if plot is not None:
        from archsearch.readings.plot import plot_profile

        plot_profile(graphs, plot)
    if as_json:
        facts = map(api.latency_facts, measured) if latency else ({} for _ in graphs)
        profiles = [table.profile(graph) | more for graph, more in zip(graphs, facts, strict=True)]
        print_json(profiles[0] if len(profiles) == 1 else profiles)
        return
    from archsearch.report import tables

    if len(graphs) > 1:
        tables.show(tables.comparison(graphs, measured))
        return
    tables.show(*tables.network(graphs[0], every=every, latency=measured[0] if measured else None))


@click.command(
    epilog="Examples: archsearch sample --space resnext --flops 20M · archsearch sample --space resnext "
    "--flops 4G --input 224x224x3 -n 3 · archsearch sample --space vgg --flops 20M --input 32x32x3 "
    "-n 100 --seed 1 --json > candidates.jsonl"
)
@click.option("--space", "space_name", required=True, metavar="NAME", help="The design space.")
@click.option("--flops", required=True, metavar="BUDGET", help="4G: filled; 3.8G:4.2G: a range.")
@click.option("--input", "size", type=ImageSize(), help="Default: 32x32x1, the digits, as run's.")
@click.option("--classes", type=click.IntRange(2), help="Default: 1000 (10 on small images).")
@click.option("-n", "count", type=click.IntRange(1), default=10, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@relax_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def sample(
    space_name: str,
    flops: str,
    size: tuple[int, int, int] | None,
    classes: int | None,
    count: int,
    seed: int,
    relax: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw candidates of a space; every one fills the budget, none is thrown away for its size."""
    asked: dict[str, Any] = {"input": size, "classes": classes, "relax": relax}
    candidates = api.sample(space_name, flops, **asked, count=count, seed=seed)
    if as_json:
        for candidate in candidates:
            click.echo(json.dumps(_line(candidate), separators=(",", ":")))
        return
    from archsearch.report import tables
    from archsearch.space.registry import find_space

    found = list(candidates)
    pays_not = api.left_out(space_name, flops, **asked)
    notes = [
        f"this budget cannot pay {name} {', '.join(map(str, values))}"
        for name, values in pays_not.items()
    ]
    words = find_space(space_name).words
    tables.show(tables.candidates(found, words=words, freed=bool(relax), notes=notes))


def _line(candidate: Candidate) -> dict[str, Any]:
    from archsearch.space.standing import standing

    return {
        "space": candidate.space,
        "label": candidate.label,
        "knobs": candidate.knobs,
        "flops": candidate.cost.flops,
        "params": candidate.cost.params,
        "activation_bytes": candidate.cost.activation_bytes,
        "fill": candidate.fill,
        "base_width": candidate.base_width,
        "multiple": candidate.multiple,
        "widths": candidate.widths,
        "notes": candidate.notes,
        **standing(candidate).to_dict(),
        "graph": to_dict(candidate.graph),
    }


@click.command(
    epilog="Examples: archsearch check alexnet · archsearch check model.keras --rule 3x3-stacks · "
    "archsearch check model/ --json · archsearch sample --space vgg --flops 20M --json | archsearch check -"
)
@click.argument("target", metavar="NAME|GRAPH.json|MODEL.keras|SAVEDMODEL/|CANDIDATES.jsonl|-")
@click.option("--rule", "names", multiple=True, metavar="RULE", help="Check only this; repeatable.")
@click.option("--input", "size", type=ImageSize(), help="Image size, for a baseline.")
@json_option
def check(
    target: str, names: tuple[str, ...], size: tuple[int, int, int] | None, as_json: bool
) -> int:
    """Audit networks against the design rules; exit status 1 if there are findings.

    Each finding says what following the rule would save or cost, counted on the rewritten network. A
    candidate, as sample prints it, is checked against the rules that it was built to hold.
    """
    audits = api.check(target, rules=names, input=size)
    total = sum(len(found.findings) for found in audits)
    if as_json:
        rows = [[finding.to_dict() for finding in found.findings] for found in audits]
        several = [
            {"network": found.name, "findings": row}
            for found, row in zip(audits, rows, strict=True)
        ]
        print_json(rows[0] if len(rows) == 1 else several)
        return 1 if total else 0
    for found in audits:
        before = f"{found.name}: " if len(audits) > 1 else ""
        for finding in found.findings:
            click.echo(f"{before}{finding.message}  [{finding.rule}]")
    what = target if len(audits) == 1 else f"{target}, {len(audits)} networks"
    says = counted(total, "finding") if total else "holds every rule it is about"
    click.echo(f"{what}: {says}", err=True)
    return 1 if total else 0
