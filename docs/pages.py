"""Write the site's pages that follow from the code: spaces, rules, networks, commands, the notebook.

A hook of MkDocs (mkdocs.yml); `make docs` runs it.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from mkdocs.structure.files import File, Files

from archsearch.cli.app import _COMMANDS
from archsearch.report.catalog import (
    baseline_rows,
    rule_rows,
    space_rows,
    spaces_markdown,
)
from archsearch.space.registry import load_baselines, load_spaces
from archsearch.units import format_count, format_size

sys.path.insert(0, str(Path(__file__).parent))  # MkDocs runs this file without its folder
from rule_pictures import Example, examples, picture

ROOT: Final = Path(__file__).parent.parent
PICTURES: Final = "pictures"
"""The folder of the rules' pictures on the site."""
NOTEBOOK: Final = ROOT / "docs" / "notebook.ipynb"

_MOVED: Final = {
    "../CONTRIBUTING.md": "contributing.md",
    "../benchmarks/RESULTS.md": "results.md",
    "docs/": "",
}
"""How links between files of the project begin, and the page or place each is on the site."""

_LENGTH: Final = {"ARCHSEARCH_TRIALS": "3", "ARCHSEARCH_EPOCHS": "1", "ARCHSEARCH_SEEDS": "1"}
"""What a study takes on the page of commands, so that the site is built in minutes."""

_LONG: Final = (
    "run", "resume", "train", "ui", "worker", "compare", "ablate", "rerun", "predict", "evaluate",
    "visualize",
)  # fmt: skip
"""Commands that are shown by their help alone, but for the first search: they train, serve or need images."""


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are written from the code, or lie elsewhere in the project."""
    pages = {
        "rules.md": rules_page(),
        "baselines.md": baselines_page(),
        "commands.md": commands_page(),
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "results.md": (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8"),
    }
    pages |= {f"{PICTURES}/{rule}.svg": picture(one) for rule, one in _examples().items()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


@cache
def _examples() -> dict[str, Example]:
    return examples()


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Fill in what a page leaves to the code, and lead its links to pages of the site."""
    for link, target in _MOVED.items():
        markdown = markdown.replace(f"]({link}", f"]({target}")
    if "<!-- spaces -->" in markdown and "<!-- /spaces -->" not in markdown:
        markdown = markdown.replace("<!-- spaces -->", spaces_markdown(space_rows(load_spaces())))
    return markdown.replace("<!-- notebook -->", notebook_markdown())


# --- rules -----------------------------------------------------------------------------------------


def rules_page() -> str:
    """Return the handbook of the design rules."""
    examples = _examples()
    parts = [
        "# Design rules",
        "What papers taught of good networks, as checks. `archsearch check NETWORK` asks all of them; every "
        "candidate of a space holds those that the space lists. What following a rule saves is counted on "
        "the rewritten network. In a picture every bar is a layer, as wide as it has channels; coloured are "
        "the layers that differ.",
    ]
    for row in rule_rows(load_spaces()):
        parts += _rule(row, examples.get(row["name"]))
    return "\n\n".join(parts)


def _rule(row: dict[str, Any], example: Example | None) -> Iterator[str]:
    yield f"## {row['name']}"
    yield row["statement"]
    if example is not None:
        seen = f"{example.name}: {example.finding.found}; {example.finding.wanted}"
        yield f"![{seen}]({PICTURES}/{row['name']}.svg)"
    facts = [f"**Source.** {row['source']}"]
    if row["formula"]:
        facts.append(f"**Equation.** {row['formula']}")
    facts.append(f"**Tolerance.** {row['tolerance']}")
    facts.append(f"**Held by.** {', '.join(f'`{s}`' for s in row['held_by']) or 'no space'}")
    if row["freed_in"]:
        facts.append(
            f"**Freed** by `--relax {row['name']}` in the spaces {', '.join(row['freed_in'])}"
        )
    yield from facts
    if example is None or not example.command:
        yield "No published network here breaks it."
        return
    yield f"**What breaks it.** `{example.command}`:"
    yield f"```text\n{example.finding.message}\n```"


def baselines_page() -> str:
    """Return the table of the classic networks."""
    lines = [
        "# Classic networks",
        "",
        "Networks as published, each counted by another library to the last digit. `archsearch profile NAME` "
        "shows one, layer by layer.",
        "",
        "| network | images | FLOPs | parameters | source |",
        "|---|---|---|---|---|",
    ]
    for row in baseline_rows(load_baselines()):
        lines.append(
            f"| `{row['name']}` | {format_size(tuple(row['input']))} | {format_count(row['flops'])} "
            f"| {format_count(row['params'])} | {row['source']} |"
        )
    return "\n".join(lines)


# --- commands --------------------------------------------------------------------------------------


def commands_page() -> str:
    """Return every command's help, and what the README's commands print, run in their order."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", readme, re.DOTALL)
    shown = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    first = "archsearch run --space resnext --flops 20M"
    parts = ["# Commands", "What each takes, and what it prints: run as this page was written."]
    with tempfile.TemporaryDirectory(prefix="archsearch-docs-") as folder:
        outputs = {first: _output(first, folder)}
        for name in _COMMANDS:
            parts += [f"## {name}", f"```text\n{_output(f'archsearch {name} --help', folder)}\n```"]
            wanted = [first] if name == "run" else [] if name in _LONG else _of(name, shown)
            for command in wanted:
                text = outputs.get(command) or _output(command, folder)
                parts.append(f"```sh\n{command}\n```\n\n```text\n{text}\n```")
    return "\n\n".join(parts)


def _of(name: str, commands: list[str]) -> list[str]:
    """Return the first of the README's commands of a name that goes without what only the README has."""
    named = (c for c in commands if c.startswith(f"archsearch {name}") and c.split()[1] == name)
    return [c for c in named if "photos" not in c and "vgg-20M" not in c][:1]


def _output(command: str, folder: str) -> str:
    """Return what a command prints, run in a folder.

    Raises:
        RuntimeError: it fails.
    """
    code = "import sys; from archsearch.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, *shlex.split(command)[1:]],
        cwd=folder,
        env={**os.environ, **_LENGTH, "COLUMNS": "110"},
        capture_output=True,
        text=True,
        check=False,
    )
    # `check` has status 1 where it finds something.
    if done.returncode not in (0, 1 if " check " in command else 0):
        raise RuntimeError(f"{command} ends with {done.returncode}: {done.stderr}")
    return done.stdout.rstrip()


# --- the notebook ----------------------------------------------------------------------------------


def notebook_markdown() -> str:
    """Return the notebook as a page: its texts, and its cells of code."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    texts = []
    for cell in cells:
        source = "".join(cell["source"])
        texts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(texts)
