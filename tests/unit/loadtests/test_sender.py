"""A user's sender against answers given by hand: what counts as what, and what is sent again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from loadtests import limits
from loadtests.answers import meaning, pause_s
from loadtests.attacks import KINDS, OVERSIZED_BYTES, attack
from loadtests.gates import alone
from loadtests.generator import Answer, Generator, Sender
from loadtests.ledger import read_ledgers
from loadtests.settings import Gates
from loadtests.tally import INTENDED, NAIVE, Totals
from pipeline.signing import Secret, SignatureError, verify

SECRET = Secret(bytes(range(32)), "test")
BUSY = Answer(503, {"retry-after": "2"}, b"")


class Desk:
    """Answers in turn, and calls later what was to be called later, when told."""

    def __init__(self, folder: Path, *answers: Answer) -> None:
        self.generator = Generator(SECRET, "0badcafe", "demo", 0, folder)
        self.member = self.generator.join()
        self.sent: list[dict[str, str]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self._answers = list(answers)
        self.sender = Sender(
            self.generator, self.member, self._send, lambda s, call: self.later.append((s, call))
        )

    def _send(self, name: str, body: bytes, headers: dict[str, str]) -> Answer:
        self.sent.append(headers)
        return self._answers.pop(0)

    def totals(self) -> Totals:
        self.generator.tally.close()
        totals = Totals()
        for moment in self.generator.tally.take():
            totals.add(moment)
        return totals


MakeDesk = Callable[..., Desk]


@pytest.fixture
def desk_of(tmp_path: Path) -> Iterator[MakeDesk]:
    made: list[Desk] = []

    def make(*answers: Answer) -> Desk:
        made.append(Desk(tmp_path, *answers))
        return made[-1]

    yield make
    for desk in made:
        desk.generator.close()


def test_what_is_shed_is_sent_again_under_its_id_and_counts_once(desk_of: MakeDesk, tmp_path: Path) -> None:
    desk = desk_of(BUSY, BUSY, Answer(202, {}, b"{}"))
    number = desk.member.number()
    desk.sender.post("event", number, b"{}", time.monotonic_ns())
    while desk.later:
        pause, call = desk.later.pop()
        assert pause == 2.0
        call()
    desk.generator.flush()
    totals = desk.totals()
    assert (totals.met, totals.shed, totals.errors, totals.retries, totals.given_up) == (0, 1, 0, 2, 0)
    assert len({headers["webhook-id"] for headers in desk.sent}) == 1
    found = read_ledgers(tmp_path.glob("*.ledger"))
    assert found.accepted.tolist() == found.repeated.tolist() == [number]


def test_an_event_is_given_up_after_some_attempts(desk_of: MakeDesk) -> None:
    desk = desk_of(*[BUSY] * (limits.MAX_RETRIES + 1))
    desk.sender.post("event", 1, b"{}", time.monotonic_ns())
    while desk.later:
        desk.later.pop()[1]()
    totals = desk.totals()
    assert (totals.retries, totals.given_up) == (limits.MAX_RETRIES, 1)
    assert desk.generator.retrying == 0


def test_an_event_that_was_not_answered_is_an_error_and_sent_again(desk_of: MakeDesk) -> None:
    desk = desk_of(Answer(0, {}, b"", "ConnectionRefusedError"))
    desk.sender.post("event", 1, b"{}", time.monotonic_ns())
    assert len(desk.later) == 1
    totals = desk.totals()
    assert (totals.errors, totals.statuses, totals.sketches) == (1, {"0": 1}, {})
    assert totals.faults == {"event: ConnectionRefusedError": 1}


def test_a_refusal_for_good_is_an_error_and_not_sent_again(desk_of: MakeDesk) -> None:
    desk = desk_of(Answer(422, {}, b""))
    desk.sender.post("event", 1, b"{}", time.monotonic_ns())
    assert not desk.later
    assert desk.totals().errors == 1


def test_latency_counts_from_when_it_was_meant_to_go(desk_of: MakeDesk) -> None:
    desk = desk_of(Answer(202, {}, b"{}"))
    desk.sender.post("event", 1, b"{}", time.monotonic_ns() - 3_000_000_000)
    totals = desk.totals()
    assert (totals.quantile_ms(INTENDED, 50) or 0) >= 2990
    assert (totals.quantile_ms(NAIVE, 50) or 9e9) < 1000


@pytest.mark.parametrize(
    ("status", "retry_after", "expected", "found"),
    [
        (202, None, {202}, "met"),
        (401, None, {401}, "met"),
        (202, None, {401}, "error"),
        (503, "1", {202}, "shed"),
        (503, None, {202}, "error"),
        (429, "7", {202}, "shed"),
        (500, "1", {202}, "error"),
        (0, None, {202}, "error"),
    ],
)
def test_an_answer_means(status: int, retry_after: str | None, expected: set[int], found: str) -> None:
    assert meaning(status, retry_after, expected) == found


@pytest.mark.parametrize(
    ("text", "pause"), [(None, 0.5), ("0", 0.5), ("3", 3.0), ("3600", 10.0), ("soon", 0.5)]
)
def test_a_retry_after_is_obeyed_within_bounds(text: str | None, pause: float) -> None:
    assert pause_s(text) == pause


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"malformed", "oversized", "reused"}))
def test_an_attack_carries_no_valid_signature(kind: str) -> None:
    now_s = 1_800_000_000
    found = attack(kind, SECRET, "lt-1", now_s, b'{"type":"candle"}')
    assert found.expected == {401}
    with pytest.raises(SignatureError):
        checked(found.headers, found.body, now_s)


@pytest.mark.parametrize("kind", ["malformed", "oversized"])
def test_what_is_well_signed_is_wrong_otherwise(kind: str) -> None:
    now_s = 1_800_000_000
    found = attack(kind, SECRET, "lt-1", now_s, b'{"type":"candle"}')
    checked(found.headers, found.body, now_s)
    assert found.expected <= {400, 413}
    assert (len(found.body) == OVERSIZED_BYTES) == (kind == "oversized")


def checked(headers: dict[str, str], body: bytes, now_s: int) -> None:
    """Raises SignatureError as a gateway of the largest tolerance would."""
    parts = [headers.get(f"webhook-{part}", "").encode() for part in ("id", "timestamp", "signature")]
    verify([SECRET], parts[0], parts[1], parts[2], body, now_s=now_s, tolerance_s=3600)


def test_a_quick_refusal_is_no_quick_answer(desk_of: MakeDesk) -> None:
    desk = desk_of(*[Answer(503, {"retry-after": "1"}, b"")] * 99, Answer(202, {}, b"{}"))
    for number in range(100):
        late_ns = 900_000_000 if number == 99 else 0
        desk.sender.post("event", number, b"{}", time.monotonic_ns() - late_ns)
    (p95,) = (found for found in alone(desk.totals(), Gates()) if found.name == "p95")
    assert p95.verdict == "violated"
    assert (p95.value or 0) >= 890


def test_when_the_test_is_over_nothing_is_sent_again(desk_of: MakeDesk) -> None:
    desk = desk_of(BUSY, BUSY)
    desk.sender.post("event", desk.member.number(), b"{}", time.monotonic_ns())
    desk.generator.closing = True
    (_, retry) = desk.later.pop()
    retry()
    desk.sender.post("event", desk.member.number(), b"{}", time.monotonic_ns())
    assert desk.later == []
    assert (len(desk.sent), desk.totals().given_up) == (2, 2)
    assert (desk.generator.retrying, desk.generator.in_flight) == (0, 0)


def test_an_event_without_any_answer_is_known_as_such(desk_of: MakeDesk, tmp_path: Path) -> None:
    desk = desk_of(Answer(202, {}, b"{}"), Answer(0, {}, b"", "ConnectionError"))
    for _ in range(2):
        desk.sender.post("event", desk.member.number(), b"{}", time.monotonic_ns())
    desk.generator.flush()
    found = read_ledgers(tmp_path.glob("*.ledger"))
    assert (len(found.sent), len(found.accepted), found.unanswered) == (2, 1, 1)
