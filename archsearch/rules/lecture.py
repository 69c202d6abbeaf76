"""The project's own rules in the lecture's order, then those after it: one file a family, each with `RULES`.

To add a rule: a file in `archsearch/rules/families` (a breach says what to write instead; what that costs
follows), named here. A package of its own names its rules in the entry-point group `archsearch.rules`.
"""

from typing import Final

from archsearch.rules.families import (
    cardinality,
    cost_profile,
    densenet,
    efficientnet,
    inception,
    mobilenet,
    preact,
    regnet,
    resnet,
    senet,
    squeezenet,
    stochastic_depth,
    vgg,
    wrn,
)
from archsearch.rules.rule import Rule

_FAMILIES: Final = (
    cost_profile, vgg, inception, resnet, preact, wrn, cardinality, stochastic_depth, densenet,
    squeezenet, senet, mobilenet, efficientnet, regnet,
)  # fmt: skip

RULES: Final[tuple[Rule, ...]] = tuple(rule for family in _FAMILIES for rule in family.RULES)
