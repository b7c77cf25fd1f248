"""What the users of one generator process share: who they are, what they note, what is sent again."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from loadtests import limits
from loadtests.answers import ACCEPTED, is_final, meaning, pause_s
from loadtests.candles import Feed, read_series
from loadtests.ids import id_number, user_number, webhook_id
from loadtests.ledger import SENT, SUFFIX, Ledger
from loadtests.tally import ACCEPTED as ACCEPTED_LATENCY
from loadtests.tally import INTENDED, NAIVE, Tally
from pipeline.signing import Secret, signed_headers

JSON = {"content-type": "application/json"}


class Generator:
    """One process's part of a test. `run` is in every webhook-id; `process` tells processes apart."""

    def __init__(self, secret: Secret, run: str, source: str, process: int, folder: Path | None) -> None:
        """Without `folder` no ledger is kept, and nothing can be compared with an audit."""
        self.secret = secret
        self.run = run
        self.path = f"/webhook/{source}"
        self.tally = Tally()
        self.ledger = Ledger(folder / f"{process:04d}{SUFFIX}") if folder is not None else None
        self.retrying = 0
        self.in_flight = 0
        """Requests without an answer yet: noted as sent."""
        self.closing = False
        """The test is over: nothing is sent any more."""
        self._process = process
        self._series = read_series()
        self._numbers = count()

    def join(self) -> Member:
        """A new user's identity."""
        return Member(self, user_number(self._process, next(self._numbers)))

    def feed(self, user: int) -> Feed:
        return Feed(self._series, self.run, user)

    def flush(self) -> None:
        if self.ledger is not None:
            self.ledger.flush()

    def close(self) -> None:
        if self.ledger is not None:
            self.ledger.close()


class Member:
    """One user's identity: its symbol, its numbers, its signatures."""

    def __init__(self, generator: Generator, user: int) -> None:
        self._generator = generator
        self._user = user
        self._sent = count()
        self.feed = generator.feed(user)

    def number(self) -> int:
        """The next event's number."""
        return id_number(self._user, next(self._sent))

    def webhook_id(self, number: int) -> str:
        return webhook_id(self._generator.run, number)

    def event(self, position: int) -> bytes:
        """Nine candles, then a signal."""
        return self.feed.signal() if position % 10 == 9 else self.feed.candle()


class Answer:
    """What came back: `status` 0 for nothing at all, then `fault` says why."""

    __slots__ = ("body", "fault", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: bytes, fault: str = "") -> None:
        self.status, self.headers, self.body, self.fault = status, headers, body, fault


Send = Callable[[str, bytes, dict[str, str]], Answer]
"""Posts a body under a name for statistics, with headers."""
Later = Callable[[float, Callable[[], None]], None]
"""Calls something after so many seconds."""


class Sender:
    """Sends events of one user, times and notes them, and sends again what was shed or not answered."""

    def __init__(self, generator: Generator, member: Member, send: Send, later: Later) -> None:
        self._generator = generator
        self._member = member
        self._send = send
        self._later = later

    def post(self, kind: str, number: int, body: bytes, intended_ns: int) -> Answer:
        """One event, expected to be answered 202. `intended_ns` is when it was meant to go."""
        sent_ns = time.monotonic_ns()
        answer = self._attempt(kind, number, body)
        done_ns = time.monotonic_ns()
        tally, second = self._generator.tally, int(time.time())
        found = meaning(answer.status, answer.headers.get("retry-after"), (ACCEPTED,))
        tally.status(second, kind, answer.status)
        moment = tally.turn(second)
        setattr(moment, _COUNTS[found], getattr(moment, _COUNTS[found]) + 1)
        if answer.status:
            tally.latency(INTENDED, done_ns - intended_ns)
            tally.latency(NAIVE, done_ns - sent_ns)
        if found == "met":
            tally.latency(ACCEPTED_LATENCY, done_ns - intended_ns)
        elif found == "error":
            tally.fault(f"{kind}: {answer.fault or answer.status}")
        if not is_final(answer.status):
            self._again(kind, number, body, 1, answer)
        return answer

    def expect(
        self, kind: str, name: str, headers: dict[str, str], body: bytes, expected: frozenset[int]
    ) -> None:
        """Any other request: right is only what is in `expected`, or being shed."""
        answer = self._send(name, body, headers | JSON)
        self.judge(kind, name, answer, expected)

    def judge(self, kind: str, name: str, answer: Answer, expected: frozenset[int]) -> None:
        tally, second = self._generator.tally, int(time.time())
        tally.status(second, kind, answer.status)
        moment = tally.turn(second)
        found = meaning(answer.status, answer.headers.get("retry-after"), expected)
        setattr(moment, _COUNTS[found], getattr(moment, _COUNTS[found]) + 1)
        if found == "error":
            wanted = " or ".join(map(str, sorted(expected)))
            tally.fault(f"{name}: {answer.fault or answer.status}, expected {wanted}")

    def _attempt(self, kind: str, number: int, body: bytes) -> Answer:
        ledger = self._generator.ledger
        headers = signed_headers(
            self._generator.secret, self._member.webhook_id(number), int(time.time()), body
        )
        if ledger is not None:
            ledger.note(number, SENT)
        self._generator.in_flight += 1
        try:
            answer = self._send(kind, body, headers | JSON)
        finally:
            self._generator.in_flight -= 1
        if ledger is not None and answer.status:
            ledger.note(number, answer.status)
        return answer

    def _again(self, kind: str, number: int, body: bytes, attempt: int, last: Answer) -> None:
        generator = self._generator
        if generator.closing or attempt > limits.MAX_RETRIES or generator.retrying >= limits.MAX_RETRYING:
            generator.tally.turn(int(time.time())).given_up += 1
            return
        generator.retrying += 1

        def retry() -> None:
            generator.retrying -= 1
            if generator.closing:
                generator.tally.turn(int(time.time())).given_up += 1
                return
            answer = self._attempt(kind, number, body)
            generator.tally.turn(int(time.time())).retries += 1
            if not is_final(answer.status):
                self._again(kind, number, body, attempt + 1, answer)

        self._later(pause_s(last.headers.get("retry-after")), retry)


_COUNTS = {"met": "met", "shed": "shed", "error": "errors"}
