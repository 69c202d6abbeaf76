"""All installed rules, this project's and third parties', found by entry point; and one by its name.

Each entry point is a tuple of rules. This project's are one, in the lecture's order; third parties' come
after it, by the names of their entry points.
"""

from typing import Final

from archsearch import plugins
from archsearch.errors import ArchsearchError
from archsearch.rules.rule import Rule

GROUP: Final = "archsearch.rules"
OWN: Final = "lecture"


def load_rules() -> dict[str, Rule]:
    """Return all rules by name.

    Raises:
        ArchsearchError: what a package installs are no rules, or two of them have one name.
    """
    packages = plugins.load(GROUP, what="tuple of rules", kind=tuple)
    found: dict[str, Rule] = {}
    for package in sorted(packages, key=lambda name: (name != OWN, name)):
        for rule in packages[package]:
            if not isinstance(rule, Rule):
                raise ArchsearchError(
                    f"entry point {package} of {GROUP} has {rule!r}, which is no Rule"
                )
            if rule.name in found:
                raise plugins.second(rule.name, "rule")
            found[rule.name] = rule
    return found


def find_rule(name: str) -> Rule:
    """Return one rule.

    Raises:
        UserError: there is none of that name.
    """
    rules = load_rules()
    if name not in rules:
        raise plugins.unknown(name, rules, "rule")
    return rules[name]
