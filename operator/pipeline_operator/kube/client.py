"""A small client of the Kubernetes API: JSON in and out, back-off, and nothing cached.

A call is tried once: the tick comes back soon with newer facts, which is better than repeating old words.
After 429, 502 to 504, or no answer at all, everything waits; after a 500 only the object that it was about.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import msgspec

from pipeline.clock import Clock, SystemClock
from pipeline_operator import limits
from pipeline_operator.kube.access import TOKEN_READ_EVERY_NS, Access
from pipeline_operator.kube.backoff import Backoff, retry_after_s
from pipeline_operator.kube.errors import SERVER_WIDE, ApiAwayError, error_of
from pipeline_operator.kube.meter import ApiMeter

APPLY = "application/apply-patch+yaml"
"""Server-side apply; JSON is YAML."""
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "ringline-operator"
_MANY_SICK = 10_000


class Api:
    """Use as an async context manager. `clock` times the back-off."""

    def __init__(self, access: Access, meter: ApiMeter | None = None, clock: Clock | None = None) -> None:
        self.meter = meter or ApiMeter()
        self._access = access
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None
        self._all = Backoff()
        self._by_path: dict[str, Backoff] = {}
        self._headers: dict[str, str] = {}
        self._urgent = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._places = asyncio.Semaphore(limits.PATIENT_CALLS)
        self._headers_until_ns = 0

    async def __aenter__(self) -> Api:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=limits.API_CONNECTIONS,
                keepalive_timeout=limits.API_KEEP_ALIVE_S,
                ssl=self._access.tls(),
            ),
            timeout=aiohttp.ClientTimeout(total=limits.API_TIMEOUT_S),
            headers={"User-Agent": FIELD_MANAGER},
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def urgent(self) -> AsyncIterator[None]:
        """While any of these lasts, calls that can wait do (`patient`); connections stay free for it."""
        self._urgent += 1
        self._calm.clear()
        try:
            yield
        finally:
            self._urgent -= 1
            if not self._urgent:
                self._calm.set()

    @contextlib.asynccontextmanager
    async def patient(self) -> AsyncIterator[None]:
        """For calls that can wait: few at a time, and urgent ones go first, but not for ever. What a decision
        brings to write comes in one turn of the loop, so a moment is waited for urgent ones."""
        async with self._places:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.PATIENCE_S):
                    await asyncio.sleep(limits.PATIENT_AFTER_S)
                    await self._calm.wait()
            yield

    async def get(self, path: str, *, accept: str = "application/json") -> Any:
        return await self.request("get", path, accept=accept)

    async def create(self, path: str, body: object) -> Any:
        return await self.request("create", path, body=body)

    async def replace(self, path: str, body: object) -> Any:
        """PUT; a stale `metadata.resourceVersion` in it is a 409."""
        return await self.request("update", path, body=body)

    async def merge(self, path: str, body: object) -> Any:
        return await self.request(
            "patch", path, body=body, kind=MERGE, params={"fieldManager": FIELD_MANAGER}
        )

    async def apply(self, path: str, body: object, *, force: bool = False, dry_run: bool = False) -> Any:
        """Server-side apply as `ringline-operator`; `dry_run`: all of it but the storing."""
        params = {"fieldManager": FIELD_MANAGER}
        if force:
            params["force"] = "true"
        if dry_run:
            params["dryRun"] = "All"
        return await self.request("patch", path, body=body, kind=APPLY, params=params)

    async def delete(self, path: str) -> Any:
        return await self.request("delete", path)

    async def request(
        self,
        verb: str,
        path: str,
        *,
        body: object = None,
        kind: str = "application/json",
        accept: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Any:
        """One call. Raises ApiError for an answer that says no, ApiAwayError without any answer."""
        self._check_backoff(path)
        assert self._session is not None, "Api is used as an async context manager"
        method = {"create": "POST", "update": "PUT"}.get(verb, verb.upper())
        try:
            async with self._session.request(
                method,
                self._access.server + path,
                params=params,
                data=None if body is None else msgspec.json.encode(body),
                headers=self._credentials()
                | {"Accept": accept}
                | ({"Content-Type": kind} if body is not None else {}),
            ) as answer:
                data = await _read(answer)
                status, headers = answer.status, answer.headers
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            self.meter.answered(verb, 0)
            self._all.failed(self._clock.monotonic_ns())
            raise ApiAwayError(f"{verb} {path}: {error or type(error).__name__}") from None
        self.meter.answered(verb, status)
        self._note(path, status, headers.get("Retry-After"))
        if status >= 400:
            raise error_of(status, data)
        return msgspec.json.decode(data) if data else None

    def _check_backoff(self, path: str) -> None:
        now_ns = self._clock.monotonic_ns()
        sick = self._by_path.get(path)
        if self._all.waits(now_ns) or (sick is not None and sick.waits(now_ns)):
            self.meter.held_back += 1
            raise ApiAwayError(f"{path}: the API server failed just now; it is given a moment")

    def _note(self, path: str, status: int, retry_after: str | None) -> None:
        now_ns = self._clock.monotonic_ns()
        if status in SERVER_WIDE:
            self._all.failed(now_ns, retry_after_s(retry_after, time.time()))
            return
        self._all.worked()
        if status >= 500:
            if len(self._by_path) >= _MANY_SICK:
                self._by_path.clear()
            self._by_path.setdefault(path, Backoff()).failed(now_ns, retry_after_s(retry_after, time.time()))
        else:
            self._by_path.pop(path, None)
            if status == 401:
                self._headers_until_ns = 0

    def _credentials(self) -> dict[str, str]:
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._headers_until_ns:
            self._headers = self._access.headers()
            self._headers_until_ns = now_ns + TOKEN_READ_EVERY_NS
        return self._headers


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The body. Raises ClientPayloadError when it is larger than anything asked for."""
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.content.iter_any():
        size += len(piece)
        if size > limits.MAX_API_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError(f"an answer of more than {limits.MAX_API_ANSWER_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)
