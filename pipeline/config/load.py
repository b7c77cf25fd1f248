"""Loads a configuration: defaults ← TOML (or JSON) file ← environment ← `--set a.b=c`; later wins.

Every fault of every layer is collected and reported at once, each with its key, its value and what is
allowed.
"""

from __future__ import annotations

import functools
import json
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from pipeline.config.check import cross_check
from pipeline.config.schema import Config, Override, Throttle
from pipeline.errors import ConfigError, MissingError

PREFIX = "RINGLINE_"
UNSOUND: Any = object()
"""Stands for a value that cannot be used."""
STAND_INS: dict[Any, dict[str, Any]] = {Throttle: {"name": "unsound"}, Override: {"scope": {}}}
"""Keys without a default of what is in lists: faults name items by their place, so no item may go."""


class Findings(NamedTuple):
    """What is wrong with single keys."""

    faults: list[str]
    dropped: list[str]
    """The keys and sections at fault: the rest is checked without them."""

    def drop(self, path: str, fault: str) -> None:
        self.faults.append(fault)
        self.dropped.append(path)


def load(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    assignments: Iterable[str] = (),
) -> Config:
    """The configuration in force.

    Raises MissingError when `file` cannot be read and ConfigError with every fault found.
    """
    tree = _read(file) if file is not None else {}
    faults: list[str] = []
    _overlay_environment(tree, environment or {}, faults)
    _overlay_assignments(tree, assignments, faults)
    return resolve(tree, faults)


def resolve(tree: dict[str, Any], faults: list[str] | None = None) -> Config:
    """Checks a tree of plain values into a Config; `faults` are ones found before."""
    found = Findings(list(faults or ()), [])
    sound = _check(Config, tree, "", found)
    crossed: list[str] = []
    if sound is not UNSOUND:
        config = msgspec.convert(sound, Config, strict=False)
        crossed = cross_check(config, found.dropped)
    if found.faults or crossed:
        raise ConfigError([*found.faults, *crossed])
    return config


def environment_name(path: str) -> str:
    """`journal.max_bytes` → `RINGLINE_JOURNAL_MAX_BYTES`."""
    return PREFIX + path.replace(".", "_").upper()


@functools.cache
def environment_names() -> dict[str, str]:
    """Every key that the environment can set: its name there → its dotted path."""
    return {environment_name(path): path for path, _ in leaves()}


def leaves(kind: type[Struct] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key that is a single value or a list, as (dotted path, type); maps have no fixed keys."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for name in kind.__struct_fields__:
        path = f"{prefix}{name}"
        if _is_struct(hints[name]):
            yield from leaves(hints[name], path + ".")
        else:
            yield path, hints[name]


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"configuration {file}: cannot be read: {_reason(error)}") from None
    try:
        tree = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ConfigError([f"configuration {file}: {error}"]) from None
    if not isinstance(tree, dict):
        raise ConfigError([f"configuration {file}: expected an object of sections, got {tree!r:.40}"])
    return tree


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _overlay_environment(tree: dict[str, Any], environment: Mapping[str, str], faults: list[str]) -> None:
    known = environment_names()
    for name, text in sorted(environment.items()):
        if name not in known:
            continue
        _assign(tree, known[name], _value(known[name], text), name, faults)


def _overlay_assignments(tree: dict[str, Any], assignments: Iterable[str], faults: list[str]) -> None:
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            faults.append(f"--set {assignment!r}: expected KEY=VALUE, such as --set journal.retention_s=1200")
            continue
        path = path.strip()
        _begin_with_defaults(tree, path.split("."))
        _assign(tree, path, _value(path, text), f"--set {path}", faults)


def _begin_with_defaults(tree: dict[str, Any], words: Sequence[str]) -> None:
    """Where `words` change part of an item that a map has by default, as `trading.strategies.sma.fast` does,
    and nobody has given that map: it begins as it is by default."""
    node: Any = tree
    default: Any = Config()
    for depth, word in enumerate(words[:-1]):
        if isinstance(default, dict):
            return
        default = getattr(default, word, None)
        if isinstance(default, dict) and word not in node and words[depth + 1] in default:
            if depth + 2 < len(words):
                node[word] = msgspec.to_builtins(default)
            return
        node = node.setdefault(word, {}) if isinstance(default, Struct) else None
        if not isinstance(node, dict):
            return


def _value(path: str, text: str) -> Any:
    """JSON where it is JSON (numbers, true, lists, objects) and the key wants no text; else the text itself:
    a decimal such as 2.5 and a folder named 2024 are text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, str):
        return value
    try:
        return msgspec.convert(text, _kind_at(path))
    except msgspec.ValidationError:
        return value


def _kind_at(path: str) -> Any:
    """The type of the key at `path`, also inside a map; of an unknown one None, which no text fits."""
    kind: Any = Config
    for name in path.split("."):
        if _is_struct(kind):
            kind = typing.get_type_hints(kind, include_extras=True).get(name)
        elif typing.get_origin(kind) is dict:
            kind = typing.get_args(kind)[1]
        else:
            return None
    return kind


def _assign(tree: dict[str, Any], path: str, value: Any, origin: str, faults: list[str]) -> None:
    *parents, last = path.split(".")
    node = tree
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            faults.append(f"{origin}: {name} is not a section")
            return
    node[last] = value


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _check(kind: type[Struct], value: Any, path: str, found: Findings) -> Any:
    """What is sound in a section, checked key by key so that one fault does not hide the next; UNSOUND when a
    key that has no default is not."""
    if not isinstance(value, dict):
        found.drop(
            path.rstrip("."), f"{path.rstrip('.') or 'configuration'}: expected a section, got {value!r}"
        )
        return UNSOUND
    hints = typing.get_type_hints(kind, include_extras=True)
    sound = {}
    for name, item in value.items():
        if name in hints:
            sound[name] = _check_value(hints[name], item, f"{path}{name}", found)
        else:
            found.faults.append(f"{path}{name}: unknown key; here are {', '.join(sorted(hints))}")
    for required in msgspec.structs.fields(kind):
        if required.required and required.name not in value:
            found.drop(f"{path}{required.name}", f"{path}{required.name}: missing")
    usable = STAND_INS.get(kind, {}) | _without_unsound(sound)
    if any(field.required and field.name not in usable for field in msgspec.structs.fields(kind)):
        found.dropped.append(path.rstrip("."))
        return UNSOUND
    return usable


def _check_value(kind: Any, value: Any, path: str, found: Findings) -> Any:
    if _is_struct(kind):
        return _check(kind, value, path + ".", found)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is dict and isinstance(value, dict):
        sound = {}
        for name, item in value.items():
            named = _convert(name, arguments[0], f"{path}.{name}", found)
            checked = _check_value(arguments[1], item, f"{path}.{name}", found)
            sound[name] = UNSOUND if named is UNSOUND else checked
        return _without_unsound(sound)
    if origin is tuple and isinstance(value, list):
        items = [
            _check_value(arguments[0], item, f"{path}[{index}]", found) for index, item in enumerate(value)
        ]
        stand_in = STAND_INS.get(arguments[0], UNSOUND)
        usable = (stand_in if item is UNSOUND else item for item in items)
        return [item for item in usable if item is not UNSOUND]
    return _convert(value, kind, path, found)


def _without_unsound(tree: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in tree.items() if item is not UNSOUND}


def _convert(value: Any, kind: Any, path: str, found: Findings) -> Any:
    try:
        msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        found.drop(path, f"{path} = {value!r}: {_plain(str(error))}{_range(kind)}")
        return UNSOUND
    return value


def _plain(text: str) -> str:
    return text[0].lower() + text[1:].split(" - at `$")[0]


def _range(kind: Any) -> str:
    """The allowed range of a number, from its annotation; the error names one side only."""
    if isinstance(kind, types.UnionType):
        return ""
    for note in getattr(kind, "__metadata__", ()):
        if isinstance(note, msgspec.Meta) and note.ge is not None and note.le is not None:
            return f" (allowed: {note.ge} to {note.le})"
    return ""
