"""All rules, in the lecture's order, and one by its name."""

from difflib import get_close_matches

from archsearch.errors import UserError
from archsearch.rules.rule import Rule


def load_rules() -> dict[str, Rule]:
    """Return all rules by name.

    To add one: a file with `RULES`, named here. Its breaches say what to write instead; costs follow.
    """
    from archsearch.rules.families import (
        cardinality,
        cost_profile,
        densenet,
        inception,
        mobilenet,
        preact,
        resnet,
        senet,
        squeezenet,
        stochastic_depth,
        vgg,
        wrn,
    )

    files = (
        cost_profile, vgg, inception, resnet, preact, wrn, cardinality, stochastic_depth, densenet,
        squeezenet, senet, mobilenet,
    )  # fmt: skip
    return {rule.name: rule for file in files for rule in file.RULES}


def find_rule(name: str) -> Rule:
    """Return one rule.

    Raises:
        UserError: there is none of that name.
    """
    rules = load_rules()
    if name not in rules:
        close = get_close_matches(name, rules, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(rules)}"
        raise UserError(f"no rule is named {name!r}; {hint}")
    return rules[name]
