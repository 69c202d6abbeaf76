"""Reports of studies as files: where each goes, and that MLflow has the page of one, too."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import UserError
from archsearch.report.page.assemble import assemble
from archsearch.report.page.html import html, write_page
from archsearch.report.page.material import read_material
from archsearch.report.page.thinned import most_of
from archsearch.report.write import check_reportable, write_report
from archsearch.study.catalogue import load_result
from archsearch.study.retelling import attach

NAME = "report.html"
"""Of the file, and of the artifact in MLflow."""


def write_html(
    names: Sequence[str], *, home: Path, out: Path | None = None, flops: str | None = None
) -> tuple[Path, str | None]:
    """Write some studies' page, and log that of one to its run.

    Args:
        names: of the studies.
        home: where they lie.
        out: a folder, or a file whose name ends in `.html`; None: the study's own, or of several the home.
        flops: of several budgets the one that is told of, and not logged; None: all.

    Returns:
        Where it lies, and why it is not logged; None: it is, or there are several studies.

    Raises:
        UserError: there is no such study, none of its networks has an accuracy yet, or the file can't be
            written.
    """
    most = most_of(len(names))
    materials = [read_material(name, home=home, flops=flops, most=most) for name in names]
    for material in materials:
        check_reportable(material.result)
    text = html(assemble(materials), written=datetime.now().astimezone())
    path = write_page(text, _place(names, home=home, out=out, flops=flops))
    logged = len(names) == 1 and flops is None
    return path, attach(materials[0].result, {NAME: text}, home=home) if logged else None


def write_markdown(
    names: Sequence[str], *, home: Path, out: Path | None = None, flops: str | None = None
) -> tuple[Path, str | None]:
    """Write a study's report as Markdown with pictures into a folder (see `write_report`).

    Raises:
        UserError: as `write_html`; or there are several studies.
    """
    if len(names) > 1:
        raise UserError(
            f"--format md takes one study, not {len(names)}; --format html takes several"
        )
    result = load_result(names[0], home=home, flops=flops)
    return write_report(result, home=home, out=out or _own(names[0], home, flops)), None


def _place(names: Sequence[str], *, home: Path, out: Path | None, flops: str | None) -> Path:
    if out is not None and out.suffix.lower() in (".html", ".htm"):
        return out
    if out is not None:
        return out / NAME
    return (_own(names[0], home, flops) if len(names) == 1 else home) / NAME


def _own(name: str, home: Path, flops: str | None) -> Path:
    return StudyFolder(home, name).path / ("report" if flops is None else f"report-{flops}")
