"""ARCHITECTURE.md stays true: its table names every module, and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text()


def listed() -> set[str]:
    """Paths in the component table, relative to the root."""
    found: set[str] = set()
    folder = ""
    for line in TEXT.partition("## Component → file")[2].splitlines():
        if heading := re.match(r"### .*`(.+/)`", line):
            folder = heading[1]
        elif row := re.match(r"\|.*\| `([^`]+)` \|$", line):
            found.add(folder + row[1])
    return found


def test_every_module_is_in_the_table_and_every_row_is_a_module() -> None:
    modules = {
        str(path.relative_to(ROOT))
        for package in ("pipeline", "operator", "loadtests")
        for path in (ROOT / package).rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py"}
    }
    assert listed() == modules


def test_every_path_that_the_text_names_exists() -> None:
    named = set(re.findall(r"`((?:pipeline|tests|operator|charts|loadtests|tools)/[\w/.-]+)`", TEXT))
    assert named
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


def test_modules_and_functions_stay_small() -> None:
    """A ratchet, not a goal: 400 lines is a lot already. The table of all bounds grows with the product."""
    long = [
        str(path.relative_to(ROOT))
        for package in ("pipeline", "operator", "loadtests")
        for path in (ROOT / package).rglob("*.py")
        if len(path.read_text().splitlines()) > 400 and path.name != "limits.py"
    ]
    assert long == []
