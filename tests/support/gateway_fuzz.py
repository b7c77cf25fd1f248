"""A mutation fuzzer for the gateway: captured requests of every kind, damaged in every way, fed to the
server's own protocol (parser, application, intake, journal) without a socket in between."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
from typing import Any

from real_gateway import SECRET, SIGNAL
from uvicorn.server import ServerState

from pipeline.clock import FakeClock
from pipeline.config.schema import Config, RateLimit, Source
from pipeline.signing import SharedKey, signed_headers
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.fake import MemoryJournal
from pipeline.stages.gateway.recording import NoRecorder
from pipeline.stages.gateway.secrets import Keys
from pipeline.stages.gateway.server import GatewayServer, bind
from pipeline.trading.instruments import Instruments

PROMISED = {100, 200, 202, 207, 400, 401, 403, 404, 405, 411, 413, 415, 422, 429, 431, 503}
KEY = b"0123456789abcdef"
CONFIG = Config(
    sources={
        "demo": Source(),
        "github": Source(profile="github"),
        "plain": Source(profile="hmac", idempotency_key="required"),
        "alerts": Source(profile="tradingview", allow_from=("127.0.0.1",), trusted_proxies=("127.0.0.1",)),
        "limited": Source(rate_limit=RateLimit(events=3, period_s=3600)),
    }
)
SHARED = (SharedKey(KEY, "key"),)
KEYS = {
    "demo": Keys(secrets=(SECRET,)),
    "limited": Keys(secrets=(SECRET,)),
    "github": Keys(shared=SHARED),
    "plain": Keys(shared=SHARED),
    "alerts": Keys(shared=SHARED, tokens=SHARED),
}
CANDLE = (
    b'{"type":"candle","symbol":"MSFT","time":"2023-01-05T14:30:00Z","open":"1.5","high":"1.6",'
    b'"low":"1.4","close":"1.5","volume":"100"}'
)
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_PIECES = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b": ", b":", b" ", b"\t", b"\x00", b"\xff", b"\xc3\x28", b"0", b"-1",
    b"18446744073709551616", b"1e999", b"NaN", b'"', b"\\ud800", b"{", b"}", b"[" * 64, b"]", b",", b"null",
    b"transfer-encoding: chunked\r\n", b"content-length: 5\r\n", b"expect: 100-continue\r\n",
    b"connection: close\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"content-encoding: gzip\r\n",
    b"x-forwarded-for: 127.0.0.1, ::1\r\n", b"idempotency-key: \"a\\\"\r\n", b"HTTP/1.0", b"HTTP/2.0",
    b"5\r\nhello\r\n0\r\n\r\n", b"/batch", b"%2e%2e/", b"%00", b"?", b"POST ", b"GET ", b"HEAD ",
)  # fmt: skip


_TURNS = 8
"""Of the loop, from a commit to the last of its answers."""


class FuzzError(AssertionError):
    """A case was answered as nothing may be."""


class Wire(asyncio.Transport):
    """A connection's other end: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.said = bytearray()
        self.closed = False

    def write(self, data: Any) -> None:
        self.said += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 5), "sockname": ("127.0.0.1", 6)}.get(name, default)


class Fuzzer:
    """Cases by number: the same `seed` and number are the same case. Used inside a running loop."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.app = GatewayApp(
            CONFIG,
            journal=self.journal,
            instruments=Instruments(CONFIG.trading),
            secrets=KEYS,
            dispatch=lambda deliveries: None,
            recorder=NoRecorder(),
            clock=self.clock,
        )
        self._bound = bind("127.0.0.1", 0)
        self._config = GatewayServer(self.app, self._bound, 100)._config
        self._config.load()
        self.state = ServerState()
        self.captured = captured(self.clock.wall_us() // 1_000_000)
        self.statuses: dict[int, int] = {}

    async def close(self) -> None:
        await self.app.committer.close()
        self._bound.close()

    def case(self, number: int) -> list[bytes]:
        """A request, damaged, in the pieces in which it arrives."""
        dice = random.Random(f"{self._seed}:{number}")
        data = bytearray(dice.choice(self.captured))
        if dice.random() < 0.4:
            data = self._signed(number, dice)
        else:
            _damage(data, dice, self.captured)
        if dice.random() < 0.7:
            return [bytes(data)]
        cut = dice.randint(0, len(data))
        return [bytes(data[:cut]), bytes(data[cut:])]

    def _signed(self, number: int, dice: random.Random) -> bytearray:
        """A damaged body under a good signature: it is what the parser sees."""
        body = bytearray(dice.choice(_BODIES))
        _damage(body, dice, _BODIES)
        kind = dice.choice(("demo", "demo/batch"))
        now_s = self.clock.wall_us() // 1_000_000
        headers = signed_headers(SECRET, f"f{number}", now_s, bytes(body))
        return bytearray(request(f"/webhook/{kind}", bytes(body), headers))

    async def run(self, number: int) -> None:
        """Raises FuzzError when the case is not answered as promised."""
        if number % 1000 == 0:
            self.journal.forget()
        pieces = self.case(number)
        wire = Wire()
        connect: Any = self._config.http_protocol_class
        protocol = connect(
            config=self._config, server_state=self.state, app_state={}, _loop=asyncio.get_running_loop()
        )
        protocol.connection_made(wire)
        for piece in pieces:
            if not wire.closed and piece:
                protocol.data_received(piece)
        for _ in range(100):
            await asyncio.sleep(0)
            if not self.app.committer.pending:
                break
        while self.app.committer.pending:
            await asyncio.sleep(0.0005)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        protocol.connection_lost(None)
        while self.state.tasks:
            await asyncio.sleep(0)
        try:
            for status in answers(bytes(wire.said)):
                self.statuses[status] = self.statuses.get(status, 0) + 1
        except (FuzzError, ValueError) as error:
            raise FuzzError(f"seed {self._seed}, case {number}: {error}: {pieces!r}") from error

    def growth(self) -> dict[str, int]:
        """What must be nothing between two cases."""
        return {
            "pending": self.app.committer.pending,
            "partial bytes": self.app._partial_bytes,
            "connections": len(self.state.connections),
            "tasks": len(self.state.tasks),
        }


def answers(said: bytes) -> list[int]:
    """The statuses of everything that was said. Raises FuzzError for what is no promised answer."""
    statuses = []
    while said:
        head, end, said = said.partition(b"\r\n\r\n")
        if not end or not head.startswith(b"HTTP/1.1 "):
            raise FuzzError(f"no answer: {head[:80]!r}")
        status = int(head[9:12])
        statuses.append(status)
        if status not in PROMISED:
            raise FuzzError(f"status {status}")
        headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if status in (429, 503) and b"retry-after" not in headers:
            raise FuzzError(f"{status} without retry-after")
        length = int(headers.get(b"content-length", b"0"))
        if said.startswith(b"HTTP/1.1 ") or not said:
            continue  # to a HEAD
        body, said = said[:length], said[length:]
        if status >= 400 and json.loads(body)["status"] != status:
            raise FuzzError(f"{status} with another one in its body")
    return statuses


# ---- what is damaged, and how


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\nhost: x\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


_HALT = b'{"type":"control","action":"halt","reason":"fat finger"}'
_BODIES = [SIGNAL, CANDLE, _HALT, b"[" + SIGNAL + b"," + CANDLE + b"," + _HALT + b"]"]


def captured(now_s: int) -> list[bytes]:
    """A request of every kind, most of them good."""
    alert = b'{"token":"0123456789abcdef","ticker":"AAPL","action":"buy","price":1.5,"timenow":"1"}'
    words = b"token=0123456789abcdef ticker=AAPL action=sell timenow=2"
    dispatch = b'{"action":"a","client_payload":' + SIGNAL + b"}"
    paths = f"/webhook/alerts/{KEY.decode()}"

    def mac(body: bytes) -> str:
        return hmac.new(KEY, body, hashlib.sha256).hexdigest()

    def standard(source: str, webhook_id: str, body: bytes) -> bytes:
        headers = signed_headers(SECRET, webhook_id, now_s, body) | {"traceparent": TRACE}
        return request(f"/webhook/{source}", body, headers)

    hub = {"x-github-delivery": "d", "x-github-event": "repository_dispatch"}
    return [
        standard("demo", "a", SIGNAL),
        standard("demo", "b", CANDLE),
        standard("demo/batch", "c", _BODIES[-1]),
        standard("limited", "d", SIGNAL),
        standard("demo", "e", b"not json"),
        request("/webhook/github", dispatch, hub | {"x-hub-signature-256": "sha256=" + mac(dispatch)}),
        request("/webhook/plain", SIGNAL, {"x-signature": mac(SIGNAL), "idempotency-key": '"k"'}),
        request(paths, alert, {"content-type": "application/json"}),
        request(paths, words, {"content-type": "text/plain", "x-forwarded-for": "127.0.0.1"}),
        b"DELETE /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /webhook/demo HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n",
        b"HEAD /readyz HTTP/1.1\r\nhost: x\r\n\r\n",
    ]


def _span(data: bytearray, dice: random.Random, longest: int = 16) -> tuple[int, int]:
    start = dice.randint(0, len(data))
    return start, min(len(data), start + dice.randint(0, longest))


def _flip(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def _cut(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    start, end = _span(data, dice)
    del data[start:end]


def _double(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    start, end = _span(data, dice, 64)
    data[end:end] = data[start:end] * dice.choice((1, 1, 2, 40))


def _put(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    start, end = _span(data, dice, dice.choice((0, 0, 4)))
    data[start:end] = dice.choice(_PIECES)


def _put_line(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    """Into the head, where a line ends."""
    ends = [index + 2 for index in range(min(len(data), 1000)) if data[index : index + 2] == b"\r\n"]
    at = dice.choice(ends or [0])
    data[at:at] = dice.choice(_PIECES)


def _swap_lines(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    lines = bytes(data).split(b"\r\n")
    first, second = dice.randrange(len(lines)), dice.randrange(len(lines))
    lines[first] = lines[second] if dice.random() < 0.5 else lines[first] + b"\r\n" + lines[second]
    data[:] = b"\r\n".join(lines)


def _splice(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    other = dice.choice(others)
    data[dice.randint(0, len(data)) :] = other[dice.randint(0, len(other)) :]


def _append(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    data += dice.choice(others)


def _truncate(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    del data[dice.randint(0, len(data)) :]


def _damage(data: bytearray, dice: random.Random, others: list[bytes]) -> None:
    for _ in range(dice.choice((0, 0, 1, 1, 1, 2, 2, 3, 5, 8))):
        dice.choice(_MUTATIONS)(data, dice, others)


_MUTATIONS = (
    _flip,
    _flip,
    _cut,
    _double,
    _put,
    _put,
    _put_line,
    _put_line,
    _swap_lines,
    _splice,
    _append,
    _truncate,
)
