"""Packages of third parties, for tests of what is found by entry point.

`example` is a whole one: its pyproject.toml, its package, nothing of this project's in it.
"""

import os
import shutil
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent / "example"


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, points: Mapping[str, Mapping[str, str]]
) -> None:
    """Install a package with these entry points (group → name → value), as pip would.

    Processes that inherit `sys.path`, as spawned ones do, find it, too.
    """
    write_info(folder, folder.name, points)
    monkeypatch.syspath_prepend(str(folder))


def install_example(folder: Path) -> None:
    """Put the example's package into a folder, as `pip install --target` would, for other processes."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    shutil.copytree(EXAMPLE / "archsearch_example", folder / "archsearch_example")
    write_info(folder, project["name"].replace("-", "_"), project["entry-points"])


def write_info(folder: Path, name: str, points: Mapping[str, Mapping[str, str]]) -> None:
    """Write the folder by which Python knows of a package that is installed."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, named in points.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in named.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def with_path(*folders: Path) -> dict[str, str]:
    """Return the environment of a new process that finds what lies in these folders."""
    paths = os.pathsep.join([*map(str, folders), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": paths}
