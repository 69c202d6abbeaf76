"""Commands about single networks: profile and check."""

from pathlib import Path

import click

from archsearch import api
from archsearch.cli.completion import of_checked, of_network, of_rule
from archsearch.cli.options import ImageSize, WholeNumber, home_option, json_option, print_json, say
from archsearch.units import counted


@click.command(
    epilog="Examples: archsearch profile resnet50 · archsearch profile vgg16 --input 64x64x3 "
    "--classes 10 · archsearch profile vgg16 resnet50 resnext50_32x4d · archsearch profile "
    "mobilenet_v2 resnet50 --latency --batch 8 --device cpu"
)
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="NAME|GRAPH.json|MODEL.keras…",
    shell_complete=of_network,
)
@click.option("--input", "size", type=ImageSize(), help="Image size; default: the network's own.")
@click.option("--classes", type=WholeNumber(2), help="Classes; default: the network's own.")
@click.option("--all", "every", is_flag=True, help="Show activations and normalisations too.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Draw memory, parameters and FLOPs per stage: FILE.png or FILE.svg.",
)
@click.option(
    "--latency", is_flag=True, help="Measure what a call takes, exported, on this machine."
)
@click.option("--batch", type=WholeNumber(1), help="Images a call, for --latency; default: 1.")
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
    epilog="Examples: archsearch check alexnet · archsearch check model.keras --rule 3x3-stacks · "
    "archsearch check model/ --json · archsearch check resnext-20M-digits --trial 3 · "
    "archsearch sample --space vgg --flops 20M --json | archsearch check -"
)
@click.argument(
    "target",
    metavar="NAME|GRAPH.json|MODEL.keras|SAVEDMODEL/|CANDIDATES.jsonl|STUDY|-",
    shell_complete=of_checked,
)
@click.option(
    "--rule",
    "names",
    multiple=True,
    metavar="RULE",
    shell_complete=of_rule,
    help="Check only this; repeatable.",
)
@click.option("--input", "size", type=ImageSize(), help="Image size, for a baseline.")
@click.option("--trial", type=WholeNumber(0), metavar="N", help="Only this network of a STUDY.")
@home_option
@json_option
def check(
    target: str,
    names: tuple[str, ...],
    size: tuple[int, int, int] | None,
    trial: int | None,
    home: Path,
    as_json: bool,
) -> int:
    """Audit networks against the design rules; exit status 1 if there are findings.

    Each finding says what following the rule would save or cost, counted on the rewritten network. A
    candidate, as sample prints it, and a study's networks are checked against the rules that these were
    built to hold.
    """
    audits = api.check(target, rules=names, input=size, trial=trial, home=home)
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
            say(f"{before}{finding.message}  [{finding.rule}]")
    what = target if len(audits) == 1 else f"{target}, {len(audits)} networks"
    says = counted(total, "finding") if total else "holds every rule it is about"
    say(f"{what}: {says}", error=True)
    return 1 if total else 0
