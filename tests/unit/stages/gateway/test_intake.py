"""The order of the transaction, and each answer it can end in."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.checks import RATE, Checks, decode_checks
from pipeline.clock import FakeClock
from pipeline.config.schema import Trading
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.messages import Control, decode_event
from pipeline.signing import Secret
from pipeline.stages.gateway.answer import Answer
from pipeline.stages.gateway.batch import Batches
from pipeline.stages.gateway.commit import Commit, CommitFailedError
from pipeline.stages.gateway.committer import Committer
from pipeline.stages.gateway.counters import Counters
from pipeline.stages.gateway.fake import EasyInstruments, MemoryFullError, MemoryJournal
from pipeline.stages.gateway.health import Health
from pipeline.stages.gateway.intake import Intake
from pipeline.stages.gateway.parse import Parser
from pipeline.stages.gateway.profiles import StandardProfile
from pipeline.stages.gateway.recording import IDEMPOTENCY_CHECK, JOURNAL_WRITE, SIGNATURE_CHECK
from pipeline.stages.gateway.sources import Source
from pipeline.trading.instruments import Instruments

SIGNAL = b'{"type":"signal","symbol":"AAPL","side":"buy"}'
HALT = b'{"type":"control","action":"halt"}'
CANDLE = (
    b'{"type":"candle","symbol":"AAPL","time":"1970-01-01T00:00:00Z",'
    b'"open":"1","high":"2","low":"1","close":"2"}'
)
OLD, NEW = Secret(b"o" * 24, "old"), Secret(b"n" * 32, "new")
SOURCE = Source("demo", StandardProfile((NEW, OLD), 300))


class Desk:
    """An intake with everything around it in memory; used inside a running loop."""

    def __init__(self, max_pending: int = 100, instruments: Any = None) -> None:
        self.clock = FakeClock()
        self.journal = MemoryJournal(self.clock)
        self.health = Health(self.clock)
        self.counters = Counters()
        self.dispatched: list[Delivery] = []
        self.recorded: list[int] = []
        self.committer = Committer(self.journal, self.dispatched.extend, self, self.clock, self.health.fail)
        self.intake = Intake(
            self.journal,
            self.committer,
            instruments or EasyInstruments(),
            self.health,
            self.counters,
            self,
            self.clock,
            max_pending,
        )

    def record(self, event_id: int, duration_ns: int, correlation: int = 0) -> None:
        self.recorded.append(event_id)

    def take(
        self,
        webhook_id: str,
        body: bytes = SIGNAL,
        *,
        secret: Secret = NEW,
        signature: bytes | None = None,
        source: Source = SOURCE,
        age_s: int = 0,
    ) -> tuple[Answer, Commit | None]:
        timestamp = b"%d" % (self.clock.wall_us() // 1_000_000 - age_s)
        identity = webhook_id.encode()
        if signature is None:
            signature = secret.signature(b"%b.%b." % (identity, timestamp), body)
        named = {
            b"webhook-id": identity,
            b"webhook-timestamp": timestamp,
            b"webhook-signature": signature,
        }
        return self.intake.take(source, named, body)

    async def answer(self, webhook_id: str, body: bytes = SIGNAL, **how: Any) -> Answer:
        answer, on_disk = self.take(webhook_id, body, **how)
        if on_disk is not None:
            await on_disk
        return answer


async def finish(desk: Desk) -> None:
    desk.journal.release()
    await desk.committer.close()


def document(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.content)
    return found


def test_an_event_is_accepted_with_its_identity_and_place() -> None:
    async def story() -> None:
        desk = Desk()
        answer = await desk.answer("one")
        assert answer.status == 202
        (delivery,) = desk.dispatched
        assert document(answer) == {
            "event_id": delivery.event_id.hex(),
            "status": "accepted",
            "key": "AAPL",
        }
        assert (delivery.source, delivery.webhook_id) == ("demo", "one")
        assert desk.recorded == [SIGNATURE_CHECK, IDEMPOTENCY_CHECK, JOURNAL_WRITE]
        await finish(desk)

    asyncio.run(story())


def test_the_secret_that_matched_is_counted() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.answer("one", secret=OLD)
        await desk.answer("two", secret=NEW)
        assert desk.counters.signatures == {("demo", "old"): 1, ("demo", "new"): 1}
        await finish(desk)

    asyncio.run(story())


@pytest.mark.parametrize("age_s", [0, 7, -20])
def test_what_was_checked_goes_with_the_event_and_holds_no_secret(age_s: int) -> None:
    async def story() -> None:
        desk = Desk()
        desk.clock.advance(ms=312)
        source = Source("demo", StandardProfile((NEW, OLD), 300), gates=RATE)
        await desk.answer("one", secret=OLD, source=source, age_s=age_s)
        await desk.answer("one", secret=NEW, source=source)
        (delivery,) = desk.dispatched
        expected = Checks("standard", "old", "webhook-id", len(SIGNAL), -1, RATE, 1000 * age_s + 312)
        assert decode_checks(delivery.checks) == expected
        assert b"o" * 24 not in delivery.checks
        await finish(desk)

    asyncio.run(story())


def test_nothing_is_looked_at_before_the_signature() -> None:
    async def story() -> None:
        desk = Desk()
        answer, waiting = desk.take("one", b"not json", signature=b"garbage")
        assert (answer.status, waiting) == (401, None)
        assert document(answer)["field"] == "webhook-signature"
        assert (b"www-authenticate", b"StandardWebhooks") in answer.headers
        assert desk.recorded == []
        await desk.answer("one")
        assert desk.take("one", signature=b"garbage")[0].status == 401
        await finish(desk)

    asyncio.run(story())


def test_a_repeat_gets_the_first_answer_and_is_not_taken_again() -> None:
    async def story() -> None:
        desk = Desk()
        first = await desk.answer("one")
        again = await desk.answer("one")
        assert again.status == 202
        assert again.content == first.content
        assert (b"idempotent-replayed", b"true") in again.headers
        assert (b"idempotent-replayed", b"true") not in first.headers
        assert (desk.journal.appended, desk.counters.accepted, desk.counters.duplicates) == (1, 1, 1)
        await finish(desk)

    asyncio.run(story())


def test_a_repeat_waits_until_the_first_is_on_disk() -> None:
    async def story() -> None:
        desk = Desk()
        desk.journal.hold()
        _, first = desk.take("one")
        _, repeat = desk.take("one")
        assert first is not None
        assert repeat is not None
        desk.journal.release()
        await repeat
        assert first.ended
        assert desk.take("one")[1] is None
        await finish(desk)

    asyncio.run(story())


def test_a_repeated_batch_waits_until_the_first_is_on_disk() -> None:
    async def story() -> None:
        desk = Desk()
        batches = Batches(desk.intake, desk.committer, desk.clock, 10)
        timestamp = b"%d" % (desk.clock.wall_us() // 1_000_000)
        body = b"[%b,%b]" % (SIGNAL, SIGNAL)
        named = {
            b"webhook-id": b"batch",
            b"webhook-timestamp": timestamp,
            b"webhook-signature": NEW.signature(b"batch.%b." % timestamp, body),
        }
        desk.journal.hold()
        _, first = batches.take(SOURCE, named, body)
        answer, repeat = batches.take(SOURCE, named, body)
        assert answer.status == 202
        assert first is not None
        assert repeat is not None
        assert not repeat.ended
        desk.journal.release()
        await repeat
        assert first.ended
        assert batches.take(SOURCE, named, body)[1] is None
        await finish(desk)

    asyncio.run(story())


def test_the_same_id_with_another_body_is_refused_also_when_that_is_malformed() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.answer("one")
        for body in (SIGNAL + b" ", b"not json"):
            answer = await desk.answer("one", body)
            assert answer.status == 422
            assert document(answer)["type"].endswith("/webhook-id-reused")
        assert desk.counters.conflicts == 2
        await finish(desk)

    asyncio.run(story())


def test_a_control_event_reaches_every_key_and_those_seen_later() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.answer("a", SIGNAL)
        await desk.answer("b", SIGNAL.replace(b"AAPL", b"MSFT"))
        halt = await desk.answer("halt", b'{"type":"control","action":"halt"}')
        assert document(halt) == {
            "event_id": desk.dispatched[-1].event_id.hex(),
            "status": "accepted",
            "key": None,
        }
        assert (await desk.answer("halt", b'{"type":"control","action":"halt"}')).content == halt.content
        await desk.answer("c", SIGNAL.replace(b"AAPL", b"NEW"))
        assert [(d.key, d.key_seq) for d in desk.dispatched] == [
            ("AAPL", 1), ("MSFT", 1), ("AAPL", 2), ("MSFT", 2), ("NEW", 1), ("NEW", 2),
        ]  # fmt: skip
        assert decode_event(desk.dispatched[4].payload) == Control("halt", "")
        await finish(desk)

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        (b"", 400, "malformed-event", "body"),
        (b"\xff", 400, "malformed-event", "body"),
        (b"not json", 400, "malformed-event", "body"),
        (b'{"type":"candle","symbol":"A"}', 422, "unacceptable-event", "time"),
    ],
)
def test_a_signed_body_that_is_no_event(body: bytes, status: int, kind: str, field: str) -> None:
    async def story() -> None:
        desk = Desk()
        answer, waiting = desk.take("one", body)
        assert (answer.status, waiting) == (status, None)
        assert document(answer)["type"].endswith(kind)
        assert document(answer)["field"] == field
        assert desk.journal.appended == 0
        await finish(desk)

    asyncio.run(story())


def test_a_full_journal_is_told_with_its_own_pause_and_repeats_are_still_answered() -> None:
    async def story() -> None:
        desk = Desk()
        await desk.answer("one")
        desk.journal.refuse = MemoryFullError(retry_after_s=7)
        answer = await desk.answer("two")
        assert answer.status == 503
        assert (b"retry-after", b"7") in answer.headers
        assert (await desk.answer("one")).status == 202
        desk.journal.refuse = None
        assert (await desk.answer("two")).status == 202
        await finish(desk)

    asyncio.run(story())


def test_a_broken_journal_stops_the_intake() -> None:
    async def story() -> None:
        desk = Desk()
        desk.journal.refuse = MissingError("journal /x: Input/output error")
        answer = await desk.answer("one")
        assert document(answer)["type"].endswith("/journal-failed")
        assert "Input/output" not in str(document(answer))
        assert desk.health.unready() == "journal /x: Input/output error"
        desk.journal.refuse = None
        assert (await desk.answer("two")).status == 503
        await finish(desk)

    asyncio.run(story())


def test_a_failing_sync_stops_the_intake() -> None:
    async def story() -> None:
        desk = Desk()
        desk.journal.fail = OSError(28, "No space left on device")
        _, waiting = desk.take("one")
        assert waiting is not None
        with pytest.raises(CommitFailedError):
            await waiting
        assert desk.take("two")[0].status == 503
        assert "No space left" in desk.health.unready()
        assert desk.dispatched == []
        await finish(desk)

    asyncio.run(story())


def test_more_pending_than_the_limit_are_turned_away_before_any_work() -> None:
    async def story() -> None:
        desk = Desk(max_pending=3)
        desk.journal.hold()
        for number in range(3):
            assert desk.take(str(number))[1] is not None
        answer, waiting = desk.take("more")
        assert (answer.status, waiting) == (503, None)
        assert (b"retry-after", b"1") in answer.headers
        desk.journal.release()
        await desk.committer.barrier()
        assert (await desk.answer("more")).status == 202
        await finish(desk)

    asyncio.run(story())


def test_a_draining_gateway_takes_nothing_but_finishes_what_it_took() -> None:
    async def story() -> None:
        desk = Desk()
        desk.journal.hold()
        _, waiting = desk.take("one")
        desk.health.drain()
        assert desk.take("two")[0].status == 503
        desk.journal.release()
        assert waiting is not None
        await waiting
        assert len(desk.dispatched) == 1
        await finish(desk)

    asyncio.run(story())


@pytest.mark.parametrize("reader", ["C", "Python"])
def test_a_candle_far_in_the_future_is_refused(reader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def candle(time_us: int) -> bytes:
        text = datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        prices = '"open":"1","high":"1","low":"1","close":"1"'
        return f'{{"type":"candle","symbol":"AAPL","time":"{text}",{prices}}}'.encode()

    async def story() -> None:
        desk = Desk(instruments=Instruments(Trading()))
        if reader == "Python":
            desk.intake._parse = Parser(Instruments(Trading()), None).parse
        now_us = desk.clock.wall_us()
        assert (await desk.answer("day", candle(now_us + 86_400_000_000))).status == 202
        refused = await desk.answer("far", candle(now_us + 86_401_000_000))
        assert refused.status == 422
        told = json.loads(refused.content)
        assert told["field"] == "time"
        assert told["detail"] == "time: 86401 s in the future; the limit is 86400 s"
        assert (await desk.answer("past", candle(now_us - 86_401_000_000))).status == 202
        await desk.committer.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("accepts", "body", "kind"),
    [
        ({"control"}, SIGNAL, "signal"),
        ({"control"}, CANDLE, "candle"),
        ({"candle", "signal"}, HALT, "control"),
    ],
)
def test_a_source_sends_what_it_is_trusted_with_and_nothing_else(
    accepts: set[str], body: bytes, kind: str
) -> None:
    async def story() -> None:
        desk = Desk(instruments=Instruments(Trading()))
        desk.journal.release()
        narrow = Source("desk", StandardProfile((NEW,), 300), accepts=frozenset(accepts))
        refused = await desk.answer("one", body, source=narrow)
        assert refused.status == 403
        told = document(refused)
        assert told["type"].endswith("/forbidden-event")
        assert told["field"] == "type"
        assert told["detail"] == (
            f"type: {kind} is not accepted of source desk; allowed: {', '.join(sorted(accepts))}"
        )
        assert desk.dispatched == []
        # The same request of one that may: nothing of the refused one is remembered.
        assert (await desk.answer("one", body)).status == 202
        allowed = HALT if "control" in accepts else SIGNAL
        assert (await desk.answer("two", allowed, source=narrow)).status == 202
        assert desk.dispatched[-1].source == "desk"
        await finish(desk)

    asyncio.run(story())


def test_what_is_no_event_is_told_so_before_who_may_send_it() -> None:
    async def story() -> None:
        desk = Desk()
        narrow = Source("desk", StandardProfile((NEW,), 300), accepts=frozenset({"control"}))
        assert (await desk.answer("one", b"{", source=narrow)).status == 400
        assert (await desk.answer("two", b'{"type":"order"}', source=narrow)).status == 422
        await finish(desk)

    asyncio.run(story())
