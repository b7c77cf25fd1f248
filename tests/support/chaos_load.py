"""What is posted while processes die: candles, signals, controls and batches, some of them again and again.

Two lanes a symbol, each with its own source, so that several events of a key are on their way at once; a lane
of controls; each posts its next event when the one before is answered 202, however long that takes.
"""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from real_pipeline import SECRET

from pipeline.config import Config
from pipeline.signing import parse_secret, signed_headers

SYMBOLS = tuple(f"S{number}" for number in range(5))
SOURCES = ("demo", "second")
CONTROLS = "controls"
STUCK_S = 240.0
REPEAT_WITHIN_S = 300.0
"""Well inside of the journal's retention: later a repeat is a new event, as it should be."""
START = datetime(2001, 1, 1, tzinfo=UTC)
REQUEST_S = 10.0


class Taken(NamedTuple):
    """An event that was answered 202. Times are the sender's, monotonic: of its first byte, of the answer."""

    event_id: str
    symbol: str
    """Empty for a control event."""
    body: bytes
    sent_s: float
    answered_s: float


class Client:
    """A connection that signs; any answer but those that are expected ends the run."""

    def __init__(self, config: Config) -> None:
        self._address = (config.gateway.host, config.gateway.port)
        self._secret = parse_secret(SECRET)
        self._connection: http.client.HTTPConnection | None = None

    def post(self, path: str, webhook_id: str, body: bytes) -> tuple[int, Any, bool]:
        """Status, answer, whether it has Retry-After. Raises OSError or HTTPException without an answer."""
        headers = signed_headers(self._secret, webhook_id, int(time.time()), body)
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=REQUEST_S)
        try:
            self._connection.request("POST", path, body, {**headers, "content-type": "application/json"})
            response = self._connection.getresponse()
            answer = msgspec.json.decode(response.read() or b"{}")
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            self.close()
            raise
        return response.status, answer, response.getheader("retry-after") is not None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Load:
    """All lanes. `failures` has what is wrong whatever is done to the pipeline."""

    def __init__(self, config: Config, seed: int, pause_s: float) -> None:
        self._config = config
        self._seed = seed
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._stopped_s = float("inf")
        self.taken: dict[str, Taken] = {}
        """By webhook-id."""
        self.failures: list[str] = []
        self.refusals: Counter[int] = Counter()
        self.repeats = 0
        self.kinds: Counter[str] = Counter()
        lanes = [(symbol, lane) for symbol in SYMBOLS for lane in range(len(SOURCES))]
        self._lanes = [threading.Thread(target=self._run, args=one, daemon=True) for one in (*lanes, ("", 0))]

    def __enter__(self) -> Load:
        for lane in self._lanes:
            lane.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped_s = time.monotonic()
        self._stop.set()
        for lane in self._lanes:
            lane.join(STUCK_S)
            if lane.is_alive():
                self.failures.append("a lane is stuck: its event was never taken")

    def _run(self, symbol: str, lane: int) -> None:
        try:
            _Lane(
                self, Client(self._config), symbol, lane, random.Random(f"{self._seed}{symbol}{lane}")
            ).run()
        except AssertionError as error:
            self.failures.append(str(error))

    # ---- for lanes

    @property
    def over(self) -> bool:
        return self._stop.is_set()

    @property
    def stuck(self) -> bool:
        return time.monotonic() - self._stopped_s > STUCK_S

    def pause(self, times: int = 1) -> None:
        self._stop.wait(times * self._pause_s)


class _Lane:
    def __init__(self, load: Load, client: Client, symbol: str, lane: int, dice: random.Random) -> None:
        self._load = load
        self._client = client
        self._symbol = symbol
        self._lane = lane
        self._dice = dice
        self._source = SOURCES[lane] if symbol else CONTROLS
        self._count = self._minute = 0
        self._recent: deque[tuple[str, str, bytes, float, list[str]]] = deque(maxlen=50)
        """Path, webhook-id, body, when, event_ids of what was taken lately."""

    def run(self) -> None:
        while not self._load.over:
            self._count += 1
            name = f"{self._symbol or 'control'}-{self._lane}-{self._count}"
            if self._symbol and self._dice.random() < 0.1:
                self._post(name, [self._event() for _ in range(self._dice.randint(2, 6))])
            else:
                self._post(name, self._event())
            if self._dice.random() < 0.08:
                self._repeat()
            self._load.pause(1 if self._symbol else self._dice.randint(5, 60))
        self._client.close()

    def _event(self) -> dict[str, str]:
        dice, symbol = self._dice, self._symbol
        if not symbol:
            action = dice.choice(("halt", "resume", "resume", "flatten"))
            self._load.kinds[action] += 1
            return {"type": "control", "action": action, "reason": "chaos"}
        if self._lane == 0 and dice.random() < 0.8:
            self._minute += 1
            self._load.kinds["candle"] += 1
            close = dice.randint(85, 115)
            return {
                "type": "candle", "symbol": symbol, "open": "100", "high": "120", "low": "80",
                "close": str(close), "volume": "1000",
                "time": (START + timedelta(minutes=self._minute)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }  # fmt: skip
        self._load.kinds["signal"] += 1
        side = dice.choice(("buy", "sell", "close"))
        more = {} if side == "close" else {"quantity": str(dice.randint(1, 5))}
        return {"type": "signal", "symbol": symbol, "side": side, "price": str(dice.randint(90, 110)), **more}

    def _post(self, name: str, event: dict[str, str] | list[dict[str, str]]) -> None:
        """Until it is taken: an event that was tried may be in the journal already."""
        batch = isinstance(event, list)
        path = f"/webhook/{self._source}{'/batch' if batch else ''}"
        body = msgspec.json.encode(event)
        self._load.kinds["batch"] += batch
        sent_s = time.monotonic()
        while (found := self._answered(path, name, body)) is None:
            assert not self._load.stuck, f"{name} was never taken"
            time.sleep(0.03)
        events: Sequence[Any] = event if isinstance(event, list) else [event]
        names = [f"{name}.{index}" for index in range(len(events))] if batch else [name]
        now_s = time.monotonic()
        for one, of_one, event_id in zip(names, events, found, strict=True):
            self._load.taken[one] = Taken(event_id, self._symbol, msgspec.json.encode(of_one), sent_s, now_s)
        self._recent.append((path, name, body, now_s, found))

    def _repeat(self) -> None:
        """Something that was answered already must be answered the same again."""
        path, name, body, when_s, before = self._dice.choice(self._recent)
        if time.monotonic() - when_s < REPEAT_WITHIN_S:
            found = self._answered(path, name, body)
            if found is not None:
                self._load.repeats += 1
                assert found == before, f"{name} was {before} and is {found} when it is sent again"

    def _answered(self, path: str, name: str, body: bytes) -> list[str] | None:
        """The event_ids of a 202; None when it was refused for now, or not answered."""
        try:
            status, answer, explained = self._client.post(path, name, body)
        except (OSError, http.client.HTTPException, msgspec.DecodeError):
            return None  # killed, paused or not there yet: any way that a connection can end
        if status == 202:
            return [one["event_id"] for one in answer.get("results", (answer,))]
        self._load.refusals[status] += 1
        results = answer.get("results", ()) if status == 207 else ()
        assert status == 503 or {one["status"] for one in results} == {202, 503}, f"{name}: {status} {answer}"
        assert explained, f"{name}: {status} without Retry-After"
        return None
