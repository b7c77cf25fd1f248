"""The application: routes and what they answer. `docs/valuation.md` shows it from outside.

FastAPI routes and describes; bodies are decoded and made by msgspec, which is what keeps a batch cheap.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import pipeline
from pipeline import limits, valuation_limits
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.valuation import pages, wire
from pipeline.stages.valuation.bodies import candles_in, decoded, domain_in, read_body, valuation_in
from pipeline.stages.valuation.desk import Desk, bounded
from pipeline.stages.valuation.docs_page import add_docs_page
from pipeline.stages.valuation.openapi import answers, describe, takes
from pipeline.stages.valuation.refusal import RefusedError, refused
from pipeline.telemetry.recorder import Recorder
from pipeline.text import NAME_PATTERN, SYMBOL_PATTERN
from pipeline.trading.decimals import scaled
from pipeline.trading.instruments import microseconds
from pipeline.valuation.book import PositionIn, position_of

log = logging.getLogger(__name__)

_AHEAD = r"(?!\n)"
"""pydantic's engine knows no look-ahead, and needs none: its $ is the very end."""
Name = Annotated[str, Path(pattern=NAME_PATTERN.replace(_AHEAD, ""), max_length=limits.MAX_NAME_CHARS)]
Symbol = Annotated[str, Path(pattern=SYMBOL_PATTERN.replace(_AHEAD, ""), max_length=limits.MAX_SYMBOL_CHARS)]
Limit = Annotated[int, Query(ge=1, le=valuation_limits.MAX_NAV_ROWS)]
When = Annotated[str, Query(max_length=64)]

_encode = msgspec.json.Encoder().encode
_holding = msgspec.json.Decoder(wire.HoldingIn)
_mark = msgspec.json.Decoder(wire.MarkIn)


def make_app(
    desk: Desk, status: Callable[[], wire.StatusOut], recorder: Recorder, batch_event: int
) -> FastAPI:
    """The ASGI application; `batch_event` is what a batch's duration is recorded as."""
    app = FastAPI(
        title="Ringline valuation", version=pipeline.__version__, docs_url=None, redoc_url=None,
        redirect_slashes=False,
        description="What books are worth: amounts are exact decimal text, times RFC 3339.",
    )  # fmt: skip
    routes = _Routes(desk, status, recorder, batch_event)
    for method, path, handler, extra, responses in routes.table():
        app.add_api_route(
            path, handler, methods=[method], openapi_extra=extra, responses=responses,
            status_code=204 if 204 in responses else 200, response_model=None,
            response_class=Response,
        )  # fmt: skip
    add_docs_page(app)
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]
    app.add_exception_handler(Exception, _unforeseen)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameter)
    app.add_exception_handler(RefusedError, _refusal)
    return app


class _Routes:
    def __init__(
        self, desk: Desk, status: Callable[[], wire.StatusOut], recorder: Recorder, batch_event: int
    ) -> None:
        self._desk = desk
        self._status = status
        self._recorder = recorder
        self._batch_event = batch_event

    def table(self) -> list[tuple[str, str, Callable[..., Any], dict[str, Any] | None, dict[int | str, Any]]]:
        """Method, path, handler, body, answers."""
        domain, domain_problems = "/v1/domains/{domain}", (400, 404, 409, 413, 422, 503)
        held = domain + "/positions/{symbol:path}"
        return [
            ("POST", "/v1/valuations", self.value, takes(wire.ValuationIn),
             answers(200, wire.ValuationOut, 400, 404, 409, 413, 422)),
            ("GET", "/v1/domains", self.domains, None, answers(200, wire.DomainsOut)),
            ("GET", domain, self.domain, None, answers(200, wire.DomainOut, 404, 422)),
            ("PUT", domain, self.put_domain, takes(wire.DomainIn),
             answers(200, wire.DomainOut, *domain_problems)),
            ("DELETE", domain, self.delete_domain, None, answers(204, None, 404, 409, 422, 503)),
            ("PUT", held, self.put_position, takes(wire.HoldingIn),
             answers(200, wire.DomainOut, *domain_problems)),
            ("GET", domain + "/nav", self.nav, None, answers(200, wire.NavsOut, 404, 422, 503)),
            ("GET", "/v1/marks", self.marks, None, answers(200, wire.MarksOut, 422)),
            ("GET", "/v1/marks/{symbol:path}", self.mark, None, answers(200, wire.MarkOut, 404, 409, 422)),
            ("PUT", "/v1/marks/{symbol:path}", self.put_mark, takes(wire.MarkIn),
             answers(200, wire.MarkOut, 400, 404, 409, 413, 422)),
            ("POST", "/v1/candles", self.candles, takes(wire.CandlesIn),
             answers(200, wire.TakenOut, 400, 413, 422)),
            ("GET", "/v1/status", self.status, None, answers(200, wire.StatusOut)),
            ("GET", "/healthz", self.health, None, answers(200, wire.HealthOut)),
        ]  # fmt: skip

    async def value(self, request: Request) -> Response:
        """What domains are worth now, all at one instant."""
        started_ns = time.monotonic_ns()
        body = await read_body(request)
        try:
            content = await self._desk.value(await valuation_in(body))
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None
        self._recorder.record(self._batch_event, time.monotonic_ns() - started_ns)
        return _text(content)

    async def domains(self) -> Response:
        """All domains."""
        return _json(pages.domains_out(self._desk))

    async def domain(self, domain: Name) -> Response:
        """One domain with its positions."""
        return _text(await pages.domain_text(self._desk, self._desk.book(domain)))

    async def put_domain(self, request: Request, domain: Name) -> Response:
        """Keep a domain, in place of what it was."""
        posted = await domain_in(await read_body(request))
        bounded(len(posted.positions), valuation_limits.MAX_POSITIONS, "positions")
        try:
            book = await self._desk.made(domain, posted.cash, posted.positions)
            return _text(await pages.domain_text(self._desk, await self._desk.put(book, posted.version)))
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None

    async def put_position(self, request: Request, domain: Name, symbol: Symbol) -> Response:
        """Set one position of a domain; quantity 0 takes it out."""
        posted = decoded(_holding, await read_body(request))
        instrument = self._desk.instruments.of(symbol)
        try:
            position = position_of(PositionIn(symbol, posted.quantity, posted.cost), instrument)
            book = await self._desk.put_position(domain, position)
            return _text(await pages.domain_text(self._desk, book))
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None

    async def delete_domain(self, domain: Name) -> Response:
        """Take out a domain and its recorded values."""
        try:
            await self._desk.delete(domain)
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None
        return Response(status_code=204)

    async def nav(self, domain: Name, since: When = "", until: When = "", limit: Limit = 1000) -> Response:
        """Recorded values of a domain, oldest first; `since` and `until` are RFC 3339."""
        try:
            since_us = microseconds("since", since) if since else 0
            until_us = microseconds("until", until) if until else limits.MAX_EVENT_TIME_US
            return _text(await pages.navs_text(self._desk, domain, since_us, until_us, limit))
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None

    async def marks(self, after: Annotated[str, Query(max_length=64)] = "") -> Response:
        """Every symbol's mark, with what each model makes of it."""
        return _text(await pages.marks_text(self._desk, after))

    async def mark(self, symbol: Symbol) -> Response:
        """One symbol's mark."""
        return _json(pages.one_mark(self._desk, symbol))

    async def put_mark(self, request: Request, symbol: Symbol) -> Response:
        """Post a mark: it stands until a later candle."""
        posted = decoded(_mark, await read_body(request))
        try:
            price = scaled("price", posted.price, self._desk.instruments.of(symbol).price_scale)
            if price <= 0:
                detail = f"price: {posted.price!r} must be positive"
                raise RefusedError(Problem.UNACCEPTABLE_BODY, detail, "price")
            now_us = self._desk.clock.wall_us()
            time_us = now_us if posted.time is None else microseconds("time", posted.time)
            await self._desk.post_mark(symbol, price, time_us)
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None
        return _json(pages.one_mark(self._desk, symbol))

    async def candles(self, request: Request) -> Response:
        """Take closed candles, as a history to begin with."""
        posted = await candles_in(await read_body(request))
        try:
            return _json(await pages.take_candles(self._desk, posted))
        except Exception as error:
            raise refused(error, self._desk.quotes) or error from None

    async def status(self) -> Response:
        """How the service does."""
        return _json(self._status())

    async def health(self) -> Response:
        """Whether it is alive."""
        return _json(wire.HealthOut("alive"))


def _json(value: msgspec.Struct) -> Response:
    return _text(_encode(value))


def _text(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _told(error: RefusedError) -> Response:
    answer = error.answer
    headers = {name.decode(): value.decode() for name, value in answer.headers if name != b"content-length"}
    return Response(answer.content, answer.status, headers)


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return _told(error)


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = _told(RefusedError(Problem.METHOD_NOT_ALLOWED, "this path takes another method"))
        response.headers.update(error.headers or {})
        return response
    return _told(RefusedError(Problem.NOT_FOUND, "no such path; /docs lists them"))


async def _parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = str(first["loc"][-1])
    return _told(RefusedError(Problem.UNACCEPTABLE_BODY, f"{field}: {first['msg']}", field))


async def _unforeseen(_: Request, error: Exception) -> Response:
    log.error("valuation: %s", error, exc_info=error)
    return _told(RefusedError(Problem.FAILED, "it is in the service's log"))
