"""Bodies of requests, read up to their limit and decoded strictly."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec
from fastapi import Request

from pipeline import valuation_limits
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.valuation.refusal import RefusedError

Posted = TypeVar("Posted")
_DECIMAL = "^-?[0-9]+"
"""How the patterns of amounts and prices begin; the others are those of names."""
_SHOWN_CHARS = 40
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


async def read_body(request: Request) -> bytes:
    """Raises RefusedError above `valuation_limits.MAX_VALUATION_BODY_BYTES`."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > valuation_limits.MAX_VALUATION_BODY_BYTES:
            detail = f"body: more than {valuation_limits.MAX_VALUATION_BODY_BYTES} bytes, the limit"
            raise RefusedError(Problem.BODY_TOO_LARGE, detail, "body")
        parts.append(part)
    return b"".join(parts)


def decoded(decoder: msgspec.json.Decoder[Posted], body: bytes) -> Posted:
    """Raises RefusedError naming the member that does not fit."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$").removeprefix(".") or "body"
        if "matching regex" in text:  # says less than the value does
            text = _misfit(body, field, "decimal number such as -12.5" if _DECIMAL in text else "name")
        raise RefusedError(Problem.UNACCEPTABLE_BODY, f"{field}: {text}", field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(Problem.MALFORMED_BODY, f"body: {error}", "body") from None


def _misfit(body: bytes, field: str, wanted: str) -> str:
    """What is there at `field`, such as `books[0].positions[1].quantity`, and what was `wanted`."""
    found: Any = msgspec.json.decode(body)
    try:
        for name, place in _STEP.findall(field):
            found = found[int(place)] if place else found[name]
    except (KeyError, IndexError, TypeError):  # a member's own name, which has no place
        return f"expected a {wanted}"
    shown = str(found)
    cut = "…" if len(shown) > _SHOWN_CHARS else ""
    return f"{shown[:_SHOWN_CHARS]!r}{cut} is no {wanted}"
