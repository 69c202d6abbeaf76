"""Write the README's tables of spaces and rules from what is installed.

python docs/readme.py
"""

import re
from pathlib import Path

from archsearch.report.catalog import rule_rows, rules_markdown, space_rows, spaces_markdown
from archsearch.space.registry import load_spaces

README = Path(__file__).parent.parent / "README.md"


def filled(text: str) -> str:
    """Return the README with its generated parts written anew."""
    spaces = load_spaces()
    parts = {
        "spaces": spaces_markdown(space_rows(spaces)),
        "rules": rules_markdown(rule_rows(spaces)),
    }
    for name, table in parts.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marked.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
