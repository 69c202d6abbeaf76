"""Neural-architecture search by design rules, under exact FLOP budgets.

import archsearch

archsearch.profile("resnet50")["flops"]                        # 4089184256
for candidate in archsearch.sample("resnext", "4G", input=(224, 224, 3), count=3):
    print(candidate.label, candidate.cost.flops, candidate.fill)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archsearch.api import (
        ablate,
        build,
        check,
        compare,
        evaluate,
        export,
        network,
        predict,
        profile,
        sample,
        search,
        train,
        visualize,
    )
    from archsearch.errors import ArchsearchError, UserError
    from archsearch.settings import RunSettings

__all__ = [
    "ArchsearchError",
    "RunSettings",
    "UserError",
    "ablate",
    "build",
    "check",
    "compare",
    "evaluate",
    "export",
    "network",
    "predict",
    "profile",
    "sample",
    "search",
    "train",
    "visualize",
]

_HOME = {"ArchsearchError": "errors", "UserError": "errors", "RunSettings": "settings"}


def __getattr__(name: str) -> Any:
    # Loaded on first use: importing one module of the package must not import the rest.
    if name not in __all__:
        raise AttributeError(f"module 'archsearch' has no attribute {name!r}")
    return getattr(import_module(f"archsearch.{_HOME.get(name, 'api')}"), name)
