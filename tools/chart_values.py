"""Writes what follows from the chart's values and the types of pipeline and operator: `values.schema.json`,
what the templates' checks have to know (`files/config.json`) and the table in the chart's README.

    python tools/chart_values.py          # write all
    python tools/chart_values.py --check  # exit code 1 when one is out of date
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

sys.path[:0] = [str(ROOT / "operator"), str(Path(__file__).parent)]

from chart_facts import facts  # noqa: E402 - the checkout's own, whatever is installed
from chart_schema import values_schema  # noqa: E402

CHART = ROOT / "charts" / "ringline"
BEGIN, END = "<!-- values: made by tools/chart_values.py -->", "<!-- end of values -->"


def values() -> dict[str, Any]:
    """What values.yaml says: the templates cannot read it when Helm gives them other values."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def rows() -> Iterator[tuple[str, str, str]]:
    """(key, default, meaning) of every value that a comment `# -- …` stands above."""
    path: list[tuple[int, str]] = []
    meaning: list[str] = []
    speaking = False
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            meaning, speaking = [text[5:]], True
        elif text.startswith("#") and speaking:
            meaning.append(text[1:].strip())
        elif found := re.match(r"( *)([A-Za-z]+): ?(.*)", line):
            indent, name, default = len(found[1]), found[2], found[3]
            path = [(depth, key) for depth, key in path if depth < indent] + [(indent, name)]
            if speaking:
                yield ".".join(key for _, key in path), default, " ".join(meaning)
            meaning, speaking = [], False
        else:
            meaning, speaking = [], False


def table() -> str:
    """The values as a Markdown table."""
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for key, default, meaning in rows():
        shown = f"`{default}`" if default else "see values.yaml"
        lines.append(f"| `{key}` | {shown} | {meaning} |")
    return "\n".join(lines)


def readme() -> str:
    """The chart's README with the table of now."""
    text = (CHART / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def made() -> dict[Path, str]:
    """Every file that is made, and what should be in it."""
    return {
        CHART / "values.schema.json": json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n",
        CHART / "files" / "values.json": json.dumps(values(), indent=1, ensure_ascii=False) + "\n",
        CHART / "files" / "config.json": json.dumps(facts(), indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": readme(),
    }


def main() -> int:
    stale = [file for file, text in made().items() if not file.exists() or file.read_text() != text]
    if "--check" in sys.argv[1:]:
        for file in stale:
            sys.stderr.write(f"{file.relative_to(ROOT)} is out of date: python tools/chart_values.py\n")
        return 1 if stale else 0
    for file, text in made().items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
