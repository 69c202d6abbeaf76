"""The site: every page is there, what it shows runs, and it builds without a warning."""

import ast
import json
import os
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import archsearch
from archsearch.rules.registry import load_rules
from archsearch.space.registry import load_baselines, load_spaces

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
CELLS = [
    "".join(cell["source"])
    for cell in json.loads((DOCS / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    if cell["cell_type"] == "code"
]


@pytest.fixture(scope="module")
def pages():
    pytest.importorskip("mkdocs", reason="pip install -e '.[docs]'")
    return runpy.run_path(str(DOCS / "pages.py"))


def test_every_page_of_the_menu_is_there_or_written_from_the_code():
    named = re.findall(r": ([\w/-]+\.md)", SITE.partition("\nnav:")[2])
    written = re.findall(r'"([\w/-]+\.md)": ', (DOCS / "pages.py").read_text(encoding="utf-8"))
    assert len(named) > 12
    assert [name for name in named if not (DOCS / name).is_file() and name not in written] == []
    kept = {path.name for path in DOCS.glob("*.md")}
    assert kept <= set(named)


def test_what_the_reference_is_made_of_is_there():
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    named = re.findall(r"^::: ([\w.]+)$", page, re.MULTILINE)
    assert "archsearch.api" in named
    assert all(pkgutil.resolve_name(name) for name in named)


def test_spaces_that_pages_recommend_are_installed():
    page = (DOCS / "spaces.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in page.splitlines() if line.startswith("| ")][1:]
    words = {
        name for row in rows for text in re.findall(r"`([^`]+)`", row) for name in text.split(",")
    }
    assert words - {"--relax RULE"} <= set(load_spaces())


def test_networks_are_listed_with_their_costs(pages):
    page = pages["baselines_page"]()
    assert "| `resnet50` | 224x224x3 | 4.09G | 25.6M |" in page
    assert all(f"| `{name}` |" in page for name in load_baselines())


def test_a_rule_is_said_with_what_breaks_it(pages):
    row = {
        **{"name": "fire-module", "statement": "Squeeze.", "source": "SqueezeNet", "formula": ""},
        **{"tolerance": "none", "held_by": ["squeezenet"], "freed_in": ["squeezenet"]},
    }
    (finding, *_) = load_rules()["3x3-stacks"].check(archsearch.network("alexnet"))
    example = pages["Example"](
        "alexnet",
        archsearch.network("alexnet"),
        finding,
        "archsearch check alexnet --rule fire-module",
    )
    text = "\n".join(pages["_rule"](row, example))
    assert "](pictures/fire-module.svg)" in text
    assert "## fire-module" in text
    assert "`archsearch check alexnet --rule fire-module`" in text
    assert finding.message in text
    assert "No published network here breaks it." in "\n".join(pages["_rule"](row, None))


def test_a_rule_is_drawn_broken_and_followed(pages):
    graph = archsearch.network("alexnet")
    finding = load_rules()["3x3-stacks"].check(graph)[0]
    drawn = pages["picture"](pages["Example"]("alexnet", graph, finding))
    assert "conv1: conv 11×11 /4" in drawn
    assert "conv1.conv3: conv 3×3 /2" in drawn  # the same place with the rule followed
    assert "#c0392b" in drawn
    assert "#2e7d4f" in drawn


@pytest.mark.slow
def test_every_rule_has_its_picture(pages):
    found = pages["examples"]()
    assert set(found) == set(load_rules())
    for rule, example in found.items():
        assert example.finding.rule == rule
        assert pages["picture"](example).count("<path") > 4, rule


def test_the_notebook_uses_what_the_package_has():
    for cell in CELLS:
        for node in ast.walk(ast.parse(cell)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                owner = {"archsearch": archsearch, "study": archsearch.Study}.get(node.value.id)
                assert owner is None or hasattr(owner, node.attr), cell
    assert "archsearch.search(" in "".join(CELLS)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    code = "\n".join([*CELLS, "print(study.status, len(study.trials()))"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "complete 3"


@pytest.mark.slow  # a search is on the page of commands
def test_the_site_builds_without_a_warning(pages, tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rules = (tmp_path / "rules" / "index.html").read_text(encoding="utf-8")
    assert all(f'id="{name}"' in rules for name in load_rules())
    reference = (tmp_path / "reference" / "index.html").read_text(encoding="utf-8")
    assert "archsearch.api.load_study" in reference
