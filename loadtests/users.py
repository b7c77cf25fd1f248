"""Who sends what: Locust users on its fast HTTP client.

| user            | of all users | does                                                                 |
|-----------------|--------------|----------------------------------------------------------------------|
| Trader          | 90 %         | candles and signals of a symbol of its own, signed                   |
| DuplicateSender | 5 %          | sends every event twice; the second must get the first answer again  |
| Attacker        | 5 %          | forged, stale, tampered, unsigned, malformed, oversized, a reused id |
| StreamTrader    | all if open  | as Trader, but waits for no answer                                   |

Each sends on its own schedule (`pace`) and counts what it measures in its process's `generator`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any, cast

import gevent
import msgspec
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.exception import StopUser

from loadtests import limits
from loadtests.answers import ACCEPTED, REPLAYED_HEADER
from loadtests.attacks import KINDS, attack
from loadtests.generator import Answer, Generator, Sender
from loadtests.pace import Pace
from loadtests.shapes import PER_USER_S
from pipeline.signing import signed_headers

WEIGHTS = {"Trader": 18, "DuplicateSender": 1, "Attacker": 1}
_REUSED = frozenset({409, 422})


class WebhookUser(FastHttpUser):
    """What all of them have in common."""

    abstract = True
    network_timeout = limits.ANSWER_S
    connection_timeout = limits.ANSWER_S
    per_s = PER_USER_S

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.generator: Generator = environment.generator
        self.member = self.generator.join()
        self.sender = Sender(self.generator, self.member, self._send, _later)
        self.position = 0

    def on_start(self) -> None:
        self.pace = Pace(self.per_s, time.monotonic_ns(), random.random())  # noqa: S311 - not a secret
        gevent.sleep(self.pace.wait_s(time.monotonic_ns()))

    def wait_time(self) -> float:
        return self.pace.wait_s(time.monotonic_ns())

    def due_ns(self) -> int:
        """When the next request is meant to go. Ends the user once the test is over: Locust ends one that
        waits, but one whose wait is over at that moment it would end in the middle of its request."""
        if self.generator.closing:
            raise StopUser
        return self.pace.take()

    def next_event(self) -> tuple[int, bytes]:
        """A new event: its number and its body."""
        body = self.member.event(self.position)
        self.position += 1
        return self.member.number(), body

    def _send(self, name: str, body: bytes, headers: dict[str, str]) -> Answer:
        path = self.generator.path
        with self.client.post(  # bytes are fine, says its code
            path, data=cast(str, body), headers=headers, name=name, catch_response=True
        ) as response:
            status = int(response.status_code or 0)
            if not status:
                fault = _named(response.error)
                response.failure(fault)
                return Answer(0, {}, b"", fault)
            found = {key.lower(): value for key, value in (response.headers or {}).items()}
            if status in (429, 503) and "retry-after" in found:
                response.request_meta["name"] = f"{name} (shed)"
            response.success()  # whether it was the right answer is counted by the sender
            return Answer(status, found, response.content or b"")


class Trader(WebhookUser):
    """Its own symbol's candles, and a signal after every nine."""

    weight = WEIGHTS["Trader"]

    @task
    def trade(self) -> None:
        due_ns = self.due_ns()
        number, body = self.next_event()
        self.sender.post("event", number, body, due_ns)


class DuplicateSender(WebhookUser):
    """Sends every event twice, as a webhook sender that did not see the answer."""

    weight = WEIGHTS["DuplicateSender"]

    def on_start(self) -> None:
        super().on_start()
        self._last: tuple[int, bytes, Answer] | None = None

    @task
    def repeat(self) -> None:
        intended_ns = self.due_ns()
        if self._last is None:
            number, body = self.next_event()
            answer = self.sender.post("event", number, body, intended_ns)
            self._last = (number, body, answer) if answer.status == ACCEPTED else None
            return
        number, body, first = self._last
        self._last = None
        second = self.sender.post("repeat", number, body, intended_ns)
        if second.status == ACCEPTED and (
            REPLAYED_HEADER not in second.headers or _event_id(first) != _event_id(second)
        ):
            moment = self.generator.tally.turn(int(time.time()))
            moment.met -= 1
            moment.errors += 1
            self.generator.tally.fault("repeat: not answered as the first time")


class Attacker(WebhookUser):
    """Everything it sends must be kept out, but for an event of its own before each round of attacks: an id
    is known for as long as the journal keeps it, and the one that is used again must be."""

    weight = WEIGHTS["Attacker"]

    def on_start(self) -> None:
        super().on_start()
        self._used = 0
        self._kinds: Iterator[str] = iter(())

    @task
    def attack(self) -> None:
        intended_ns = self.due_ns()
        kind = next(self._kinds, "")
        if not kind:
            self._kinds = iter(KINDS)
            self._used, body = self.next_event()
            self.sender.post("event", self._used, body, intended_ns)
            return
        secret, now_s = self.generator.secret, int(time.time())
        if kind == "reused":
            other = self.member.feed.candle()
            headers = signed_headers(secret, self.member.webhook_id(self._used), now_s, other)
            self.sender.expect("attack", "attack: reused id", headers, other, _REUSED)
            return
        number, body = self.next_event()
        found = attack(kind, secret, self.member.webhook_id(number), now_s, body)
        self.sender.expect("attack", f"attack: {kind}", found.headers, found.body, found.expected)


class StreamTrader(WebhookUser):
    """A stream of arrivals: each is sent when it is due, whether or not those before were answered."""

    abstract = True
    concurrency = limits.MAX_IN_FLIGHT

    def on_start(self) -> None:
        self._pool = Pool(limits.MAX_IN_FLIGHT)
        super().on_start()

    def on_stop(self) -> None:
        self._pool.join(limits.STOP_S)

    @task
    def arrive(self) -> None:
        due_ns = self.due_ns()
        number, body = self.next_event()
        self._pool.spawn(self.sender.post, "event", number, body, due_ns)


def _later(seconds: float, call: Any) -> None:
    gevent.spawn_later(seconds, call)


def _event_id(answer: Answer) -> str:
    try:
        return str(msgspec.json.decode(answer.body)["event_id"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return ""


def _named(error: object) -> str:
    """The kind of a failure, without the addresses and numbers that would make each one different."""
    return type(error).__name__ if error is not None else "no answer"
