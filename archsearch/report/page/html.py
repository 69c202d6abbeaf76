"""The page as one HTML file: template, style sheet, script and libraries, all in it; nothing is fetched."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from archsearch.errors import UserError
from archsearch.report.page.assemble import Page
from archsearch.report.page.chart import BRUSH, PICKED, Chart
from archsearch.report.page.roster import FACTS
from archsearch.whole_files import write_whole

LIBRARIES: Final = ("vega", "vega-lite", "vega-embed")
"""In the order in which they need one another."""


def html(page: Page, *, written: datetime) -> str:
    """Return the file's text.

    Every name of somebody's is text there: the template escapes it, and data are JSON in which no tag
    can begin.
    """
    template = _environment().get_template("page.html.j2")
    return str(
        template.render(
            page=page,
            written=f"{written:%Y-%m-%d %H:%M}",
            styles=_own("page.css"),
            script=_own("page.js"),
            libraries=[(name, _library(name)) for name in LIBRARIES],
            licences=_own("vendor", "LICENSES.txt"),
            data=as_json(_data(page)),
        )
    )


def write_page(text: str, path: Path) -> Path:
    """Write the file, whole or not at all, and return its path.

    Raises:
        UserError: it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise UserError(
            f"{str(path)!r} can't be written ({error.strerror}); choose another --out"
        ) from None
    return path


def as_json(value: Any) -> str:
    """Return JSON that may stand in a script element: no tag, no comment and no line end begins in it."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for mark in "<>&\u2028\u2029":
        text = text.replace(mark, f"\\u{ord(mark):04x}")
    return text


def _data(page: Page) -> Mapping[str, Any]:
    """Return what the page's script works on: charts by their place, networks by study.

    Data that charts share are there once, and so is the name of each of their columns.
    """
    places = (("all", page.overview), *((one.key, one.sections) for one in page.studies))
    datasets: dict[str, int] = {}
    charts = {}
    for key, sections in places:
        for block in (block for section in sections for block in section.blocks):
            if isinstance(block, Chart):
                packed = as_json(_by_column(block.spec["data"]["values"]))
                spec = {name: part for name, part in block.spec.items() if name != "data"}
                charts[f"{key}-{block.key}"] = {
                    "spec": {**spec, "description": block.summary},
                    "dataset": datasets.setdefault(packed, len(datasets)),
                }
    return {
        "charts": charts,
        "datasets": [json.loads(packed) for packed in datasets],
        "facts": FACTS,
        "networks": {study.key: list(study.networks) for study in page.studies},
        "picked": PICKED,
        "brush": BRUSH,
    }


def _by_column(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return rows of the same fields as the fields and each row's values."""
    fields = list(rows[0])
    return {"fields": fields, "rows": [[row[field] for field in fields] for row in rows]}


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(_own),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _library(name: str) -> str:
    return _own("vendor", f"{name}.min.js")


def _own(*names: str) -> str:
    """Return a file that lies beside this module."""
    place: Traversable = files("archsearch.report.page")
    return place.joinpath(*names).read_text(encoding="utf-8")
