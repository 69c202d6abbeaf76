"""Write the tables of tables.md (spaces, rules) and recipes.md from what is installed.

python docs/readme.py
"""

import re
from pathlib import Path

from archsearch.recipes.named import recipes_markdown
from archsearch.report.catalog import rule_rows, rules_markdown, space_rows, spaces_markdown
from archsearch.space.registry import load_spaces

TABLES = Path(__file__).parent / "tables.md"
RECIPES = Path(__file__).parent / "recipes.md"


def filled(text: str) -> str:
    """Return a page with its generated parts written anew."""
    spaces = load_spaces()
    parts = {
        "spaces": spaces_markdown(space_rows(spaces)),
        "rules": rules_markdown(rule_rows(spaces)),
        "recipes": recipes_markdown(),
    }
    for name, table in parts.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marked.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
    return text


if __name__ == "__main__":
    for page in (TABLES, RECIPES):
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
