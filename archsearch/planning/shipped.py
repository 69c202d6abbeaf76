"""What a search begins with where no earlier study of its space teaches it anything.

Weights of features, learnt from a table of networks that was trained for it: four spaces at two budgets,
CIFAR-10 (benchmarks/RESULTS.md, "A table of our own").
`benchmarks/teaching.py --ship` writes the file.
"""

import json
from importlib.resources import files
from typing import Final

from archsearch.archive.facts import Learnt

NAME: Final = "archsearch's own table"
"""Stands where the name of an earlier study would."""


def shipped() -> Learnt:
    """Return what the table teaches."""
    text = (files(__package__) / "shipped_prior.json").read_text(encoding="utf-8")
    read = json.loads(text)
    return Learnt(studies={NAME: read["networks"]}, weights=read["weights"])
