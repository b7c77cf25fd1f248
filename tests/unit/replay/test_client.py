from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import ClassVar

import msgspec
import pytest
from standardwebhooks import Webhook

from pipeline.clock import NS_PER_MS, SystemClock
from pipeline.replay.client import Client, brief
from pipeline.replay.fake_gateway import ACCEPT, Answer, FakeGateway, Request, Script
from pipeline.replay.history import read_history
from pipeline.replay.lane import Lane, retry_after_s
from pipeline.replay.pacer import Pacer
from pipeline.replay.posts import Post, webhook_id
from pipeline.replay.spec import Result, Task
from pipeline.signing import parse_secret, secret_text

SECRET = secret_text(b"k" * 32)
HISTORY = read_history()
During = Callable[[Client, FakeGateway], None]


def play(
    script: Script | None = None, *, during: During | None = None, **changes: object
) -> tuple[Result, FakeGateway]:
    """Runs a client of one task against a fake gateway; `during` is called with both after each accept."""

    async def go() -> tuple[Result, FakeGateway]:
        gateway = FakeGateway(script)
        await gateway.start()
        task = Task(
            host="127.0.0.1", port=gateway.port, source="demo", secret=SECRET, run_id="run", give_up_s=20
        )
        client = Client(msgspec.structs.replace(task, **changes), parse_secret(SECRET), SystemClock())
        if during is not None:
            inner = gateway.answer

            def answer(request: Request) -> Answer:
                given = inner(request)
                during(client, gateway)
                return given

            gateway.answer = answer  # type: ignore[method-assign]
        result = await asyncio.wait_for(client.run(), 30)
        await gateway.close()
        return result, gateway

    return asyncio.run(go())


def by_symbol(gateway: FakeGateway) -> dict[str, list[dict[str, str]]]:
    found = defaultdict(list)
    for request in gateway.accepted:
        body = msgspec.json.decode(request.body)
        found[body["symbol"]].append(body)
    return found


def test_every_candle_is_posted_once_and_each_symbols_in_order() -> None:
    result, gateway = play(limit=500)
    posted = by_symbol(gateway)
    assert result.accepted == dict.fromkeys(HISTORY, 100)
    for symbol, bodies in posted.items():
        assert [body["time"] for body in bodies] == [candle.time for candle in HISTORY[symbol][:100]]
    assert gateway.connections == len(HISTORY)
    assert (result.fault, result.stopped, result.unconfirmed, result.retries) == ("", False, 0, {})


def test_an_unmodified_standard_webhooks_receiver_accepts_the_signature() -> None:
    _, gateway = play(limit=5)
    for request in gateway.accepted:
        assert request.path == "/webhook/demo"
        assert Webhook(SECRET).verify(request.body, request.headers)


def test_the_webhook_id_is_the_hash_of_run_symbol_and_date() -> None:
    _, gateway = play(limit=5)
    candle = HISTORY["AAPL"][0]
    assert webhook_id("run", "AAPL", candle.time) in {request.webhook_id for request in gateway.accepted}


@pytest.mark.parametrize("status", [429, 503, 500, 409])
def test_a_refusal_for_now_is_sent_again_with_the_same_id(status: int) -> None:
    refusal = Answer(status=status, headers=(("retry-after", "0"),))
    result, gateway = play(lambda _, before: ACCEPT if before >= 2 else refusal, limit=10)
    assert result.total == 10
    assert gateway.requests == 30
    assert result.retries == {str(status): 20}
    assert result.repeated == 0


def test_retry_after_is_honoured() -> None:
    refusal = Answer(status=503, headers=(("Retry-After", "1"),))
    result, _ = play(lambda _, before: ACCEPT if before else refusal, limit=5)
    assert result.times.p50_ms is not None
    assert result.times.p50_ms >= 1000


def test_a_lost_answer_is_asked_for_again_and_counted_as_a_repeat() -> None:
    lost = Answer(status=0, accept=True)
    result, gateway = play(lambda _, before: ACCEPT if before else lost, limit=10)
    assert result.total == 10
    assert result.repeated == 10
    assert result.retries == {"connection": 10}
    assert len(gateway.accepted) == 10


def test_a_lost_request_is_sent_again_in_order() -> None:
    lost = Answer(status=0, accept=False)
    result, gateway = play(lambda _, before: ACCEPT if before else lost, limit=10)
    assert result.repeated == 0
    for symbol, bodies in by_symbol(gateway).items():
        assert [body["time"] for body in bodies] == [candle.time for candle in HISTORY[symbol][:2]]


def test_a_connection_closed_after_its_answer_is_opened_again_without_a_retry() -> None:
    closing = Answer(headers=(("connection", "close"),))
    result, gateway = play(lambda _request, _before: closing, limit=15)
    assert result.total == 15
    assert result.retries == {}
    assert gateway.connections >= 15


def test_a_final_refusal_ends_the_run_with_the_gateways_words() -> None:
    problem = Answer(
        status=401, body=b'{"title": "Unauthorized", "detail": "no signature by a known secret"}'
    )
    result, _ = play(lambda _request, _before: problem, limit=50)
    assert result.total == 0
    assert "answered 401" in result.fault
    assert "no signature by a known secret" in result.fault


def test_a_gateway_that_is_not_there_ends_the_run_with_a_fault() -> None:
    async def go() -> Result:
        task = Task(host="127.0.0.1", port=1, source="demo", secret=SECRET, run_id="r", give_up_s=0.1)
        return await asyncio.wait_for(Client(task, parse_secret(SECRET), SystemClock()).run(), 30)

    result = asyncio.run(go())
    assert "127.0.0.1:1 has accepted nothing" in result.fault
    assert "no connection" in result.fault


def test_told_to_stop_it_finishes_what_is_outstanding() -> None:
    def stop(client: Client, gateway: FakeGateway) -> None:
        if len(gateway.accepted) == 40:
            client.stop()

    result, gateway = play(during=stop)
    assert result.stopped
    assert not result.fault
    assert result.unconfirmed == 0
    assert result.total == len(gateway.accepted) < 100


def test_an_unanswered_request_is_counted_as_unconfirmed_when_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.replay.client.FINISH_S", 0.05)

    def stop(client: Client, gateway: FakeGateway) -> None:
        if gateway.requests == 5:
            client.stop()

    result, _ = play(lambda _request, _before: Answer(silent=True), during=stop)
    assert result.unconfirmed == 5
    assert result.total == 0


def test_a_silent_gateway_is_given_up_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.replay.client.ANSWER_S", 0.2)
    monkeypatch.setattr("pipeline.replay.client.PROGRESS_S", 0.05)
    silent = Answer(silent=True)
    result, _ = play(lambda _, before: ACCEPT if before else silent, limit=5)
    assert result.total == 5
    assert result.retries == {"connection": 5}


class Slots(Pacer):
    """A pacer that remembers what it gave out."""

    __slots__ = ()
    given: ClassVar[list[int]] = []
    start_ns: ClassVar[int] = 0

    def __init__(self, rate: float | None, start_ns: int) -> None:
        super().__init__(rate, start_ns)
        Slots.given, Slots.start_ns = [], start_ns

    def slot_ns(self, now_ns: int) -> int:
        slot = super().slot_ns(now_ns)
        Slots.given.append(slot)
        return slot


def test_a_rate_is_kept_over_all_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """By what was planned, asked of the loop and sent: a busy machine delays these, and changes none."""
    sent_ns: list[int] = []
    waits_s: list[float] = []
    request, wait = Client.request, Lane._wait

    def sending(client: Client, post: Post) -> bytes:
        sent_ns.append(client.now_ns())
        return request(client, post)

    def waiting(lane: Lane, delay_s: float) -> None:
        waits_s.append(delay_s)
        wait(lane, delay_s)

    monkeypatch.setattr("pipeline.replay.client.Pacer", Slots)
    monkeypatch.setattr(Client, "request", sending)
    monkeypatch.setattr(Lane, "_wait", waiting)
    result, _ = play(limit=60, rate=200.0)
    assert result.accepted == dict.fromkeys(HISTORY, 12)
    planned = [Slots.start_ns + number * 5 * NS_PER_MS for number in range(60)]
    assert Slots.given == planned, "one grid for all lanes, none left out"
    assert len(sent_ns) == 60
    assert all(sent >= slot for sent, slot in zip(sorted(sent_ns), planned, strict=True)), "sent too early"
    assert all(0 < delay_s <= 0.295 for delay_s in waits_s), "waited beyond the last slot"


def test_time_ends_a_task_that_has_no_other_end() -> None:
    result, _ = play(keys=8, duration_s=0.2)
    assert result.total > 0
    symbols = ("AAPL", "GOOG", "IBM", "MSFT") * 2
    assert set(result.accepted) == {f"{symbol}.{i:02d}" for i, symbol in enumerate(symbols)}
    assert not result.stopped


def test_a_task_with_nothing_to_post_ends_at_once() -> None:
    result, _ = play(limit=0)
    assert result.total == 0


@pytest.mark.parametrize(("value", "seconds"), [(b"3", 3.0), (b"0.5", 0.5), (b"900", 30.0), (b"-1", 0.0)])
def test_retry_after_is_read_within_bounds(value: bytes, seconds: float) -> None:
    assert retry_after_s(value) == seconds


def test_a_retry_after_that_is_a_date_means_soon() -> None:
    assert retry_after_s(b"Fri, 31 Dec 2027 23:59:59 GMT") == 0.1


def test_a_long_or_odd_answer_is_told_briefly() -> None:
    assert brief("x" * 1000) == "x" * 300
    assert brief("two\nlines") == "two lines"
    assert brief('{"title": "Nope"}') == "Nope"
