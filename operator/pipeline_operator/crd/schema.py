"""OpenAPI schemas of our types, in the structural form that a CustomResourceDefinition wants.

Ranges, defaults and enumerations come from the annotations, descriptions from the strings beside the fields.
"""

from __future__ import annotations

import ast
import enum
import inspect
import textwrap
import types
import typing
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Meta, Struct

Schema = dict[str, Any]
Extras = dict[tuple[type[Struct], str], Schema]
"""What annotations cannot say, by type and attribute (""  is the type itself): list types, rules."""

_INT32 = 2**31


def schema_of(kind: Any, extras: Extras) -> Schema:
    """The schema of a type: a Struct, str, int, bool, Literal, tuple of one kind, each also annotated."""
    kind, meta = _plain(kind)
    if isinstance(kind, type) and issubclass(kind, Struct):
        found = _struct(kind, extras)
    elif typing.get_origin(kind) is tuple:
        found = {"type": "array", "items": schema_of(typing.get_args(kind)[0], extras)}
    elif typing.get_origin(kind) is typing.Literal:
        found = {"type": "string", "enum": list(typing.get_args(kind))}
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        found = {"type": "string", "enum": [str(member.value) for member in kind]}
    elif kind is bool:
        found = {"type": "boolean"}
    elif kind is int:
        found = {"type": "integer"}
    elif kind is str:
        found = {"type": "string"}
    else:
        raise TypeError(f"{kind} has no place in a Pipeline: no floats, no maps")
    return found | _bounds(found["type"], meta)


def _struct(kind: type[Struct], extras: Extras) -> Schema:
    hints = typing.get_type_hints(kind, include_extras=True)
    documents = _documents(kind)
    properties: Schema = {}
    required = []
    for field in msgspec.structs.fields(kind):
        found = schema_of(hints[field.name], extras)
        if field.required:
            required.append(field.encode_name)
        elif field.default is not msgspec.NODEFAULT and field.default is not None:
            found["default"] = _default(field.default)
        found |= extras.get((kind, field.name), {})
        if field.name in documents:
            found = {"description": documents[field.name]} | found
        properties[field.encode_name] = found
    schema: Schema = {"type": "object", "description": _one_line(kind.__doc__ or "")}
    if required:
        schema["required"] = required
    return schema | {"properties": properties} | extras.get((kind, ""), {})


def _default(value: Any) -> Any:
    """A part's default has all of its fields: rules are checked on it before its own fields' defaults are."""
    if isinstance(value, Struct):
        return {name: found for name, found in msgspec.to_builtins(value).items() if found is not None}
    return list(value) if isinstance(value, tuple) else value


def _plain(kind: Any) -> tuple[Any, list[Meta]]:
    """Without `| None` and annotations, and what the annotations say."""
    meta: list[Meta] = []
    while True:
        if typing.get_origin(kind) is typing.Annotated:
            meta += [note for note in kind.__metadata__ if isinstance(note, Meta)]
            kind = typing.get_args(kind)[0]
        elif isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            [kind] = [part for part in typing.get_args(kind) if part is not type(None)]
        else:
            return kind, meta


def _bounds(of: str, meta: list[Meta]) -> Schema:
    found: Schema = {}
    for note in meta:
        names = {
            "minimum": note.ge,
            "maximum": note.le,
            "pattern": note.pattern,
            "minItems" if of == "array" else "minLength": note.min_length,
            "maxItems" if of == "array" else "maxLength": note.max_length,
        }
        found |= {name: value for name, value in names.items() if value is not None}
    if of == "integer":
        found["format"] = "int32" if found.get("maximum", _INT32) < _INT32 else "int64"
    return found


def _documents(kind: type[Struct]) -> dict[str, str]:
    """The string below each field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    [body] = [node.body for node in tree.body if isinstance(node, ast.ClassDef)]
    found = {}
    for before, after in pairwise(body):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = _one_line(text)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
