"""Where a report's figures are from: settings, recipe, data, seeds, versions, the command that repeats it."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from archsearch.archive.codec import kept_settings
from archsearch.archive.leaderboard import StudyResult
from archsearch.recipes.kept import values_of
from archsearch.recipes.named import written
from archsearch.report.page.chart import Block, Listing, Numbers, Passage, Section, cells
from archsearch.settings import PART, SETTINGS, RunSettings
from archsearch.units import counted, format_size

_PACKAGES: Final = (
    "archsearch",
    "numpy",
    "optuna",
    "keras",
    "tensorflow",
    "torch",
    "jax",
    "mlflow",
)


def provenance(result: StudyResult) -> Section:
    """Return the part that says how to come to the same figures."""
    where = ", in the home that has it" if result.learnt_from else ""
    blocks: list[Block] = [
        Passage(lines=(f"The command that repeats it{where}:",)),
        Listing(text=repeating(result.settings)),
        _pairs("Settings", kept_settings(result.settings)),
        _pairs("Data", _data(result)),
    ]
    if result.learnt_from:
        networks = {name: counted(n, "network") for name, n in result.learnt_from.items()}
        blocks.append(_pairs("Earlier studies that it learnt from", networks))
    if result.recipe is not None:
        values = values_of(result.recipe)
        parts = {n: written(tuple(v) if isinstance(v, list) else v) for n, v in values.items()}
        blocks.append(_pairs("Recipe, part by part", parts))
    blocks.append(_pairs("Versions that wrote this page", _versions()))
    return Section(key="settings", title="Settings, seeds, versions", blocks=tuple(blocks))


def repeating(settings: RunSettings) -> str:
    """Return the command that does the same again: what differs from a setting's default is said."""
    words = ["archsearch", settings.command]
    usual = _usual(settings)
    kept = kept_settings(settings)
    if settings.network is not None:
        words.append(str(settings.network))
    for key, value in kept.items():
        if key.startswith(PART):
            words += ["--set", f"{key}={written(value)}"]
        elif key not in ("network", "name") and value != usual.get(key):
            words += _flag(key, value)
    return shlex.join(words)


def _usual(settings: RunSettings) -> Mapping[str, Any]:
    """Return what the settings would be where nothing is given but what must be."""
    needed = {"network": settings.network, "space": settings.space, "flops": settings.flops}
    bounds = {"max_time": settings.max_time, "search_flops": settings.search_flops}
    given = {key: value for key, value in {**needed, **bounds}.items() if value is not None}
    usual = RunSettings.from_dict(given).to_dict()
    return {key: value for key, value in usual.items() if key not in given}


def _flag(key: str, value: object) -> list[str]:
    flag = SETTINGS[key].flag
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag.removeprefix('--')}"]
    return [flag, str(value)]


def _data(result: StudyResult) -> dict[str, Any]:
    data = result.dataset
    return {
        "name": data.name,
        "source": data.source,
        "digest": data.digest,
        "image": format_size(data.input),
        "classes": len(data.classes),
        **{f"{split} images": count for split, count in data.splits.items()},
    }


def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), "system": platform.platform(terse=True)}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _pairs(title: str, values: Mapping[str, Any]) -> Numbers:
    return Numbers(
        title=title,
        heads=("what", "value"),
        rows=tuple(cells(name, str(value)) for name, value in values.items()),
    )
