"""Commands about studies that are there: leaderboard, studies, delete, export, ui."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsearch import api
from archsearch.cli.completion import of_study
from archsearch.cli.options import (
    WholeNumber,
    exporting_options,
    home_option,
    json_option,
    print_json,
    say,
)
from archsearch.errors import UserError
from archsearch.units import counted

if TYPE_CHECKING:
    from archsearch.exchange.checking.agreement import Exported

_slice_option = click.option(
    "--flops", metavar="F", help="Of several budgets, the best network within this one."
)


@click.command(epilog="Example: archsearch leaderboard resnext-20M-digits --json")
@click.argument("study", shell_complete=of_study)
@click.option("--top", type=WholeNumber(1), help="Show only the best so many.")
@_slice_option
@home_option
@json_option
def leaderboard(study: str, top: int | None, flops: str | None, home: Path, as_json: bool) -> None:
    """Show how a study stands: its networks, best first."""
    from archsearch.study.catalogue import load_result

    result = load_result(study, home=home, flops=flops)
    if as_json:
        print_json(result.to_dict())
        return
    from archsearch.report import results, tables

    tables.show(*results.tables(result, home=home, most=top))


@click.command(epilog="Example: archsearch report resnext-20M-digits --out report.html")
@click.argument("studies", nargs=-1, required=True, metavar="STUDY…", shell_complete=of_study)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md"]),
    default="html",
    show_default=True,
    help="One HTML file with everything in it, or Markdown with pictures beside it, of one study.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder, or an .html file; default: in the study, of several in the home.",
)
@_slice_option
@home_option
@json_option
def report(
    studies: tuple[str, ...],
    form: str,
    out: Path | None,
    flops: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Write a report: the verdict, accuracy against cost, learning curves, knobs, rules, all networks.

    The HTML report of one study is logged to its run in MLflow, too, as report.html.
    """
    from archsearch.report.written import write_html, write_markdown

    names = tuple(dict.fromkeys(studies))
    write = write_html if form == "html" else write_markdown
    path, lacking = write(names, home=home, out=out, flops=flops)
    if lacking is not None:
        say(f"not logged to MLflow: {lacking}", error=True)
    if as_json:
        print_json({"studies": names, "format": form, "path": str(path)})
        return
    say(f"wrote {path}")


@click.command()
@home_option
@json_option
def studies(home: Path, as_json: bool) -> None:
    """List the studies there are, and how they stand."""
    from archsearch.commands import home_option as option
    from archsearch.study.catalogue import list_studies

    found = list_studies(home=home)
    if as_json:
        print_json([asdict(summary) for summary in found])
        return
    if not found:
        say(
            f"no studies in {home}; "
            f"start one with: archsearch run --space resnext --flops 20M{option(home)}"
        )
        return
    from archsearch.report import results, tables

    tables.show(results.studies(found))


@click.command(
    epilog="Examples: archsearch rerun resnext-20M-digits --trial 7 · archsearch rerun resnext-20M-digits "
    "--training final-0007-seed1"
)
@click.argument("study", shell_complete=of_study)
@click.option("--trial", type=WholeNumber(0), metavar="N", help="A trial of the search.")
@click.option("--training", "key", metavar="KEY", help="Any training: final-0007-seed1, say.")
@home_option
@json_option
def rerun(study: str, trial: int | None, key: str | None, home: Path, as_json: bool) -> None:
    """Repeat one training of a study, from its network, seed and images, and compare every figure.

    The study stays as it is. The exit status is 1 where a figure came out otherwise.
    """
    from archsearch import repetition
    from archsearch.study.events import EpochDone, Event

    def tell(event: Event) -> None:
        if isinstance(event, EpochDone):
            of = event.order.length.epochs
            say(f"epoch {event.report.epoch}/{of}  loss {event.report.loss:.4f}", error=True)

    found = repetition.rerun(study, home=home, trial=trial, key=key, on_event=tell)
    if as_json:
        print_json(found.to_dict())
    else:
        from archsearch.report import results, tables

        tables.show(*results.repeated(found))
    if found.differences:
        raise SystemExit(1)


@click.command(epilog="Example: archsearch track resnext-20M-digits")
@click.argument("study", shell_complete=of_study)
@home_option
def track(study: str, home: Path) -> None:
    """Write to MLflow what it lacks of a study: it may have been out of reach while the study ran."""
    from archsearch.study.events import Event, Notice
    from archsearch.study.retelling import track as write

    def say(event: Event) -> None:
        if isinstance(event, Notice):
            click.echo(event.text, err=True)

    write(study, home=home, on_event=say)
    click.echo(f"MLflow has all of {study}")


@click.command(epilog="Example: archsearch delete resnext-20M-digits --yes")
@click.argument("study", shell_complete=of_study)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--keep-runs", is_flag=True, help="Leave its runs in MLflow, whose server may be gone."
)
@home_option
def delete(study: str, yes: bool, keep_runs: bool, home: Path) -> None:
    """Delete a study with its runs and models, in Optuna and MLflow alike."""
    from archsearch.study.catalogue import count_networks, delete_study

    count = count_networks(study, home=home)
    if not yes:
        what = "it is damaged" if count is None else f"with its {counted(count, 'network')}"
        if not _confirmed(f"Delete {study} ({what})?"):
            say(f"kept {study}")
            return
    delete_study(study, home=home, keep_runs=keep_runs)
    say(f"deleted {study}")


def _confirmed(question: str) -> bool:
    """Ask, and return the answer.

    Raises:
        UserError: nobody answers.
    """
    nobody = UserError("nobody answers, as standard input is closed; --yes deletes without asking")
    if sys.stdin is None:
        raise nobody
    try:
        return click.confirm(question, err=True)
    except click.Abort as error:
        if isinstance(error.__context__, EOFError):
            say("", error=True)  # ends the line of the question
            raise nobody from None
        raise


@click.command(epilog="Example: archsearch export resnext-20M-digits --out net.onnx")
@click.argument("study", shell_complete=of_study)
@exporting_options
@_slice_option
@home_option
@json_option
def export(
    study: str,
    out: Path | None,
    forms: tuple[str, ...],
    force: bool,
    license_name: str | None,
    flops: str | None,
    home: Path,
    as_json: bool,
) -> None:
    """Write a study's best model, load it in a new process and compare it with the trained one."""
    from archsearch.exchange.cards.beside import card_path
    from archsearch.inference.exported import held_training

    def tell(made: "Exported") -> None:
        if not as_json:
            size = f"{made.size_bytes / 1e6:.2f} MB"
            say(f"Exported {study} as {made.format} to {made.path}, {size}; {made.sentence()}")
            say(f"It holds {held_training(made.path)}; its card is {card_path(made.path)}")
        if made.warning is not None:
            say(f"warning: {made.warning}", error=True)

    made = api.export_all(
        study, forms=forms, out=out, home=home, overwrite=force, on_exported=tell, flops=flops,
        license_name=license_name,
    )  # fmt: skip
    if as_json:
        exports = [{**asdict(each), "path": str(each.path)} for each in made]
        print_json({"study": study, "exports": exports})


@click.command(epilog="Example: archsearch ui --port 5001")
@click.argument("study", required=False, shell_complete=of_study)
@click.option("--port", type=WholeNumber(0, 65535), default=5000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--tracking-uri",
    metavar="URL",
    envvar=["ARCHSEARCH_TRACKING_URI", "MLFLOW_TRACKING_URI"],
    help="A database to serve in place of the home's.",
)
@home_option
def ui(study: str | None, port: int, host: str, tracking_uri: str | None, home: Path) -> None:
    """Compare the runs in the MLflow UI, until Ctrl-C; opens at STUDY, or the one worked on last."""
    from archsearch.tracking.server import serve_ui

    serve_ui(
        home,
        tracking_uri=tracking_uri,
        host=host,
        port=port,
        study=study,
        ready=lambda url: say(f"MLflow is at {url} (Ctrl-C ends it)"),
    )
