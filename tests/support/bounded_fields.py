"""Every bound that our types set, as trees of plain values that keep it and that break it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

NEEDED: Mapping[str, dict[str, Any]] = {
    "Strategy": {"kind": "breakout"},
    "Throttle": {"name": "one"},
    "Override": {"scope": {}},
    "Model": {"kind": "last"},
    "LatencySla": {"event": "AGENT_DECISION", "limitMs": 10},
}
"""Fields without a default, by their section's name."""
BROKEN_TEXT = "\x00\n"
"""No pattern of ours takes it."""


class Bound(NamedTuple):
    """A field in its tree, with a value at the bound and one beyond it; `inside` is None: none is known."""

    path: str
    beyond: Any
    inside: Any


def bounds_of(kind: Any, path: str = "") -> Iterator[Bound]:
    """All bounds of a type and of what it holds, as trees."""
    kind, notes = _plain(kind)
    for note in notes:
        yield from _of_note(kind, note, path)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            for bound in bounds_of(hints[field.name], f"{path}.{field.encode_name}"):
                yield _within(
                    bound, lambda tree, f=field: {**NEEDED.get(kind.__name__, {}), f.encode_name: tree}
                )
    elif origin is tuple:
        for bound in bounds_of(arguments[0], f"{path}[0]"):
            yield _within(bound, lambda tree: [tree])
    elif origin is dict:
        for bound in bounds_of(arguments[1], f"{path}.one"):
            yield _within(bound, lambda tree: {_key_of(path): tree})
        for bound in bounds_of(arguments[0], f"{path} (a key)"):
            if isinstance(bound.beyond, str):
                yield Bound(bound.path, {bound.beyond: _some(arguments[1])}, None)
    elif origin is typing.Literal:
        yield Bound(path, "no-such", arguments[0])


def _key_of(path: str) -> str:
    return "p95" if path.endswith(".one") else "one"


def _some(kind: Any) -> Any:
    plain, _ = _plain(kind)
    return (
        dict(NEEDED.get(plain.__name__, {})) if isinstance(plain, type) and issubclass(plain, Struct) else "1"
    )


def _within(bound: Bound, wrap: Any) -> Bound:
    return Bound(bound.path, wrap(bound.beyond), None if bound.inside is None else wrap(bound.inside))


def _plain(kind: Any) -> tuple[Any, list[Meta]]:
    """Without `| None` and annotations, and what those say."""
    notes: list[Meta] = []
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            notes += [note for note in kind.__metadata__ if isinstance(note, Meta)]
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, types.UnionType) and type(None) in typing.get_args(kind):
            [kind] = [part for part in typing.get_args(kind) if part is not type(None)]
        else:
            return kind, notes


def _of_note(kind: Any, note: Meta, path: str) -> Iterator[Bound]:
    step = 1 if kind is int else 1e-9
    if note.ge is not None:
        yield Bound(f"{path} ≥ {note.ge}", note.ge - step, note.ge)
    if note.le is not None:
        yield Bound(f"{path} ≤ {note.le}", note.le + (1 if kind is int else 1e6), note.le)
    if note.pattern is not None:
        yield Bound(f"{path} ~ {note.pattern}", BROKEN_TEXT, None)
    if note.min_length:
        yield Bound(f"{path}: {note.min_length} long at least", [] if kind is not str else "", None)
    if note.max_length is not None and kind is str:
        yield Bound(f"{path}: {note.max_length} long at most", "1" * (note.max_length + 1), None)
    elif note.max_length is not None:
        item = _some(typing.get_args(kind)[0])
        yield Bound(f"{path}: {note.max_length} at most", [item] * (note.max_length + 1), None)
