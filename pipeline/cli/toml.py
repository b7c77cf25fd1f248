"""Writes TOML, which the standard library only reads. Enough of it for a configuration: no dates."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(tree: Mapping[str, Any]) -> str:
    """`tree` as TOML that `tomllib` reads back as the same values; None is left out, as TOML has no null."""
    return "\n".join(_section("", tree)).strip("\n") + "\n"


def _section(path: str, tree: Mapping[str, Any]) -> Iterator[str]:
    values = {name: value for name, value in tree.items() if not isinstance(value, Mapping)}
    sections = {name: value for name, value in tree.items() if isinstance(value, Mapping)}
    if path and (values or not sections):
        yield f"\n[{path}]"
    for name, value in values.items():
        if value is not None:
            yield f"{_name(name)} = {_value(value)}"
    for name, value in sections.items():
        yield from _section(f"{path}.{_name(name)}" if path else _name(name), value)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        inner = ", ".join(
            f"{_name(name)} = {_value(item)}" for name, item in value.items() if item is not None
        )
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    # JSON's strings, integers, floats and booleans are TOML's, once DEL is escaped too.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)
