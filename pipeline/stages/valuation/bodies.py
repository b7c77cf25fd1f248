"""Bodies of requests, read up to their limit and decoded strictly."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from fastapi import Request

from pipeline import valuation_limits
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.valuation.refusal import RefusedError

Posted = TypeVar("Posted")


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
        raise RefusedError(Problem.UNACCEPTABLE_BODY, f"{field}: {text}", field) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(Problem.MALFORMED_BODY, f"body: {error}", "body") from None
