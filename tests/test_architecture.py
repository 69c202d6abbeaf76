"""docs/ARCHITECTURE.md and CONTRIBUTING.md say what is so; the limits they name are counted."""

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "archsearch"
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
GROUPS = {group for group in PROJECT["project"]["entry-points"] if group.startswith("archsearch.")}
LINES = {path: path.read_text(encoding="utf-8").count("\n") for path in PACKAGE.rglob("*.py")}
FOLDERS = sorted({path.parent for path in LINES} - {PACKAGE})

MOST_MODULES = 16
MOST_SHARE = 0.15
MOST_LINES = 40
MOST_IMPORTS = 17


def modules(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.py") if not path.stem.startswith("__")]


def named_paths(text: str) -> set[str]:
    """Files and folders of this project that a page names between backticks; NAME is yours."""
    found = set(re.findall(r"`([\w./-]+)`", text)) - {"mlruns/", "run.toml"}
    return {name for name in found if re.search(r"/|\.(py|toml|md)$", name) and "NAME" not in name}


def exists(name: str) -> bool:
    return (PACKAGE / name).exists() or (ROOT / name).exists()


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: str(f.relative_to(PACKAGE)))
def test_no_folder_is_too_large(folder: Path) -> None:
    assert len(modules(folder)) <= MOST_MODULES
    held = sum(count for path, count in LINES.items() if folder in path.parents)
    assert held <= MOST_SHARE * sum(LINES.values())


def functions() -> Iterator[tuple[str, int]]:
    for top in ("archsearch", "search_spaces", "benchmarks", "docs"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    assert node.end_lineno is not None
                    yield (
                        f"{path.relative_to(ROOT)}: {node.name}",
                        node.end_lineno - node.lineno + 1,
                    )


def test_no_function_is_too_long() -> None:
    assert {name: lines for name, lines in functions() if lines > MOST_LINES} == {}


def test_the_driver_knows_few_modules() -> None:
    tree = ast.parse((PACKAGE / "study" / "driver.py").read_text(encoding="utf-8"))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("archsearch"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            inside = {name for name in names if is_module(name)}
            imported |= inside or {str(node.module)}
    assert len(imported) <= MOST_IMPORTS, sorted(imported)


def is_module(dotted: str) -> bool:
    return (ROOT / dotted.replace(".", "/")).with_suffix(".py").is_file()


def test_a_module_name_stands_in_two_places_for_one_idea_only() -> None:
    places = defaultdict(list)
    for top in (PACKAGE, ROOT / "search_spaces"):
        for folder in {path.parent for path in top.rglob("*.py")}:
            for path in modules(folder):
                places[path.stem].append(str(path.relative_to(ROOT)))
    twice = {name: found for name, found in places.items() if len(found) > 1}
    [listed] = re.findall(r"These module names stand in two places.*?\n\n", PAGE, re.DOTALL)
    families = {path.stem for path in modules(PACKAGE / "rules" / "families")}
    allowed = {*re.findall(r"`(\w+)`", listed), *families}
    assert {name: found for name, found in twice.items() if name not in allowed} == {}


# --- what the pages name --------------------------------------------------------------------------


def test_every_file_that_is_named_is_there() -> None:
    named = named_paths(PAGE) | named_paths(RECIPES)
    assert len(named) > 60
    assert {name for name in named if not exists(name)} == set()


def test_every_room_is_on_the_map_in_the_order_of_the_contracts() -> None:
    table = PAGE.partition("## The rooms")[2].partition("\nBelow all rooms")[0]
    rooms = [name.strip("/") for name in re.findall(r"^\| `([\w./]+)` \|", table, re.MULTILINE)]
    contract = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    layers = [name for layer in contract for name in re.split(r"\W+", layer)]
    assert [name.removesuffix(".py") for name in rooms] == layers[: len(rooms)]
    folders = {folder.name for folder in FOLDERS if folder.parent == PACKAGE}
    assert folders <= set(rooms)
    named = named_paths(PAGE)
    below = {f"{path.stem}.py" for path in modules(PACKAGE)}
    assert below - named == set()
    inner = {f"{folder.relative_to(PACKAGE)}/" for folder in FOLDERS if folder.parent != PACKAGE}
    assert inner - named == set()


def test_every_group_of_entry_points_is_named() -> None:
    assert {group for group in GROUPS if f"`{group}`" not in PAGE} == set()
    assert {group for group in GROUPS if group not in RECIPES} == set()


def test_files_that_must_change_are_as_many_as_it_says() -> None:
    table = PAGE.partition("## Files that must change")[2].partition("\n\nThese groups")[0]
    rows = re.findall(r"^\| an? ([\w ]+) \| (\d) \| (.*) \|$", table, re.MULTILINE)
    assert len(rows) == 11
    for what, count, which in rows:
        assert len(re.findall(r"`[\w./]+`", which)) == int(count), what


def test_the_readme_leads_to_both_pages() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "(docs/ARCHITECTURE.md)" in readme
    assert "(CONTRIBUTING.md)" in readme
