"""The valuation as a process of its own, on a free port and with books to value, for benches and tests."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from pipeline.bench.links import free_port
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.messages import CandleIn
from pipeline.replay.history import read_history
from pipeline.telemetry.events import EventID
from pipeline.telemetry.layout import EVENT_MASK, RefusedRingError
from pipeline.telemetry.reader import RingReader

HOST = "127.0.0.1"
START_S = 30.0
DOMAINS = ("equities", "futures", "options")
POSITIONS = 100
"""Of each domain."""
BARS = 32
"""Real candles behind each symbol's mark."""
_POSTED = 500
_AFTER_HISTORY = date(2014, 1, 1).toordinal()
_encode = msgspec.json.encode


class Server(NamedTuple):
    port: int
    pid: int
    rings: Path


class Client:
    """One connection that is kept."""

    def __init__(self, port: int, host: str = HOST, headers: dict[str, str] | None = None) -> None:
        self._connection = HTTPConnection(host, port, timeout=START_S)
        self._headers = headers or {}

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body. Raises MissingError when nobody answers."""
        try:
            self._connection.request(method, path, body, self._headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException) as error:
            raise MissingError(f"{method} {path}: no answer: {error}") from None

    def do(self, method: str, path: str, value: Any) -> None:
        """Raises MissingError for anything but 200."""
        status, body = self.ask(method, path, _encode(value))
        if status != 200:
            raise MissingError(f"{method} {path}: {status}: {body[:300].decode('utf-8', 'replace')}")

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running_valuation(config: Config, folder: Path, **valuation: Any) -> Iterator[Server]:
    """`ringline worker valuation` without a feed; `valuation` are keys of its section. Raises
    MissingError."""
    replace = msgspec.structs.replace
    port = free_port()
    settings = {"read_token_files": (), "read_token_env": (), "control_token_files": (),
                "control_token_env": (), **valuation}  # fmt: skip
    own = replace(
        config,
        data_dir=str(folder / "data"),
        telemetry=replace(config.telemetry, directory=str(folder / "rings")),
        valuation=replace(config.valuation, host=HOST, port=port, feed=False, **settings),
    )
    file = folder / "config.json"
    file.write_bytes(_encode(own))
    command = (sys.executable, "-m", "pipeline", "worker", "valuation", "--config", str(file))
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            _wait_for(port, process, folder / "log")
            yield Server(port, process.pid, folder / "rings")
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def history_by_symbol(count: int) -> dict[str, tuple[CandleIn, ...]]:
    """`count` symbols with `BARS` real candles each: slices of the five stocks' history."""
    slices = {}
    for stock, candles in read_history().items():
        for number in range(len(candles) // BARS):
            name = f"{stock}-{number}"
            part = candles[number * BARS : (number + 1) * BARS]
            slices[name] = tuple(msgspec.structs.replace(candle, symbol=name) for candle in part)
    if len(slices) < count:
        raise ValueError(f"{count} symbols: the history has {len(slices)}")
    return {name: slices[name] for name in sorted(slices)[:count]}


def teach(client: Client) -> list[CandleIn]:
    """Gives the service its marks and domains; returns the last candle of each symbol."""
    histories = history_by_symbol(len(DOMAINS) * POSITIONS)
    candles = [candle for history in histories.values() for candle in history]
    for first in range(0, len(candles), _POSTED):
        client.do("POST", "/v1/candles", {"candles": candles[first : first + _POSTED]})
    symbols = list(histories)
    for number, domain in enumerate(DOMAINS):
        held = symbols[number * POSITIONS : (number + 1) * POSITIONS]
        positions = [
            {"symbol": symbol, "quantity": str((index % 7 + 1) * (10, -10)[index % 2]), "cost": "1000.25"}
            for index, symbol in enumerate(held)
        ]
        client.do("PUT", f"/v1/domains/{domain}", {"cash": "1000000", "positions": positions})
    return [history[-1] for history in histories.values()]


class Market:
    """Moves marks between calls, or a call would find what the one before it has worked out: a tenth of the
    symbols each time, in turn, each to and fro between the open and the close of its last candle."""

    def __init__(self, client: Client, lasts: Sequence[CandleIn]) -> None:
        self._client = client
        self._lasts = lasts
        self._turn = 0

    @property
    def share(self) -> int:
        """How many marks move each time."""
        return len(self._lasts) // 10

    def move(self) -> None:
        share = self.share
        first = self._turn % 10 * share
        days = self._turn // 10
        self._turn += 1
        time = f"{date.fromordinal(_AFTER_HISTORY + days)}T21:00:00Z"
        moved = [
            msgspec.structs.replace(last, time=time, close=last.close if days % 2 else last.open)
            for last in self._lasts[first : first + share]
        ]
        self._client.do("POST", "/v1/candles", {"candles": moved})


def loop_lags_ms(rings: Path, since_ns: int) -> list[float]:
    """How late the service's event loop was at each probe since then (CLOCK_MONOTONIC)."""
    found: list[float] = []
    for file in rings.iterdir():
        with suppress(OSError, RefusedRingError):
            entries = RingReader.attach(file).recent()
            is_lag = (entries[:, 2] & EVENT_MASK) == int(EventID.EVENT_LOOP_LAG)
            lags = entries[is_lag & (entries[:, 0] >= since_ns), 1]
            found += (lags / np.float64(1e6)).tolist()
    return found


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        client = Client(port)
        try:
            if client.ask("GET", "/healthz")[0] == 200:
                return
        except MissingError:
            pass
        finally:
            client.close()
        time.sleep(0.05)
    said = log.read_text("utf-8", "replace").strip()[-500:]
    raise MissingError(f"the valuation has not started on port {port}: {said}")
