"""Bodies of requests, read up to their limit and decoded strictly; long lists in slices."""

from __future__ import annotations

import asyncio
import re
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Request
from msgspec import Meta, Struct

from pipeline import valuation_limits
from pipeline.messages import CandleIn
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.valuation import wire
from pipeline.stages.valuation.refusal import RefusedError
from pipeline.text import DecimalText, NameText
from pipeline.valuation.book import PositionIn

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


class _Book(Struct, forbid_unknown_fields=True):
    """As `wire.BookIn`, its positions not looked at yet: thousands in one piece would hold the loop."""

    domain: NameText
    positions: list[msgspec.Raw]
    cash: DecimalText = "0"


class _Valuation(Struct, forbid_unknown_fields=True):
    domains: tuple[NameText, ...] = ()
    books: list[_Book] = []
    ensemble: bool = False
    positions: bool = True
    max_age_s: wire.AgeS | None = None


class _Domain(Struct, forbid_unknown_fields=True):
    positions: list[msgspec.Raw] = []
    cash: DecimalText = "0"
    version: wire.Version | None = None


class _Candles(Struct, forbid_unknown_fields=True):
    candles: Annotated[list[msgspec.Raw], Meta(max_length=valuation_limits.MAX_POSTED_CANDLES)]


_valuation = msgspec.json.Decoder(_Valuation)
_domain = msgspec.json.Decoder(_Domain)
_candles = msgspec.json.Decoder(_Candles)
_position = msgspec.json.Decoder(PositionIn)
_candle = msgspec.json.Decoder(CandleIn)


async def valuation_in(body: bytes) -> wire.ValuationIn:
    """Raises RefusedError, as all of these."""
    posted = decoded(_valuation, body)
    books = [
        wire.BookIn(
            book.domain, await _each(_position, book.positions, f"books[{index}].positions"), book.cash
        )
        for index, book in enumerate(posted.books)
    ]
    return wire.ValuationIn(posted.domains, tuple(books), posted.ensemble, posted.positions, posted.max_age_s)


async def domain_in(body: bytes) -> wire.DomainIn:
    posted = decoded(_domain, body)
    positions = await _each(_position, posted.positions, "positions")
    return wire.DomainIn(positions, posted.cash, posted.version)


async def candles_in(body: bytes) -> wire.CandlesIn:
    return wire.CandlesIn(await _each(_candle, decoded(_candles, body).candles, "candles"))


async def _each(
    decoder: msgspec.json.Decoder[Posted], parts: list[msgspec.Raw], field: str
) -> tuple[Posted, ...]:
    made = []
    for index, part in enumerate(parts):
        made.append(decoded(decoder, part, f"{field}[{index}]"))
        if not len(made) % valuation_limits.VALUATION_TEXT_SLICE:
            await asyncio.sleep(0)
    return tuple(made)


def decoded(decoder: msgspec.json.Decoder[Posted], body: bytes | msgspec.Raw, at: str = "") -> Posted:
    """Raises RefusedError naming the member that does not fit, below `at`."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `")
        inner = path.rstrip("`").removeprefix("$").removeprefix(".")
        field = ".".join(part for part in (at, inner) if part) or "body"
        if "matching regex" in text:  # says less than the value does
            text = _misfit(body, inner, "decimal number such as -12.5" if _DECIMAL in text else "name")
        raise RefusedError(Problem.UNACCEPTABLE_BODY, f"{field}: {text}", field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(Problem.MALFORMED_BODY, f"{at or 'body'}: {error}", "body") from None


def _misfit(body: bytes | msgspec.Raw, field: str, wanted: str) -> str:
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
