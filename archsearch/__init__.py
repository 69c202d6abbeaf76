"""Neural-architecture search by design rules, under exact FLOP budgets.

import archsearch

archsearch.profile("resnet50")["flops"]                        # 4089184256
for candidate in archsearch.sample("resnext", "4G", input=(224, 224, 3), count=3):
    print(candidate.label, candidate.cost.flops, candidate.fill)

study = archsearch.load_study("resnext-20M-digits")            # one that `archsearch run` has made
study.leaderboard()                                            # a DataFrame
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archsearch.api import (
        ablate,
        build,
        check,
        compare,
        ensemble,
        evaluate,
        export,
        load_study,
        network,
        predict,
        profile,
        rerun,
        resume,
        sample,
        search,
        train,
        visualize,
    )
    from archsearch.errors import ArchsearchError, UserError
    from archsearch.report.notebook.callback import Callback
    from archsearch.report.notebook.loaded import Study
    from archsearch.settings import RunSettings

__all__ = [
    "ArchsearchError",
    "Callback",
    "RunSettings",
    "Study",
    "UserError",
    "ablate",
    "build",
    "check",
    "compare",
    "ensemble",
    "evaluate",
    "export",
    "load_study",
    "network",
    "predict",
    "profile",
    "rerun",
    "resume",
    "sample",
    "search",
    "train",
    "visualize",
]

_HOME = {
    "ArchsearchError": "errors",
    "Callback": "report.notebook.callback",
    "RunSettings": "settings",
    "Study": "report.notebook.loaded",
    "UserError": "errors",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing one module of the package must not import the rest.
    if name not in __all__:
        raise AttributeError(f"module 'archsearch' has no attribute {name!r}")
    return getattr(import_module(f"archsearch.{_HOME.get(name, 'api')}"), name)


def __dir__() -> list[str]:
    # What is not loaded yet is there all the same: for `help`, and for the Tab key.
    return sorted({*globals(), *__all__})
