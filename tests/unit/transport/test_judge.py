"""One Judge against scripted and real stores, by what it sends to a sender."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.clock import NS_PER_MS
from pipeline.delivery import ORIGIN, Delivery, Tail
from pipeline.storage.audit import MemoryAuditStore
from pipeline.storage.audit.store import Judged
from pipeline.transport import wire
from pipeline.transport.judge import Judge
from pipeline.transport.outbox import Sent
from pipeline.transport.settings import Timing

TIMING = Timing(
    heartbeat_ns=10 * NS_PER_MS, dead_after_ns=50 * NS_PER_MS, ask_again_ns=20 * NS_PER_MS, credit=9, depth=9
)
ALL = 100


def row(key: str, key_seq: int, history: int = 0) -> Delivery:
    """A row of `key` that builds on row key_seq − 1 of the same `history`."""

    def digest(n: int) -> bytes:
        return b"%d/%d" % (history, n) if n else ORIGIN

    return Delivery(
        key, key_seq, b"%s %d" % (key.encode(), key_seq), "s", "w", 0, 0, b"",
        a_prev=digest(key_seq - 1), a=digest(key_seq), x_prev=digest(key_seq - 1), x=digest(key_seq),
    )  # fmt: skip


class Bench:
    """A judge and the senders connected to it."""

    def __init__(self, append: Callable[[Sequence[Delivery]], Sequence[Judged]] | None = None) -> None:
        self.store = MemoryAuditStore()
        self.judge = Judge("audit-0", 1, append or self.store.append, self.store.tail, TIMING, batch=ALL)
        self.sent: dict[bytes, int] = {}

    def send(self, *rows: Delivery, sender: bytes = b"exec-0") -> None:
        messages: list[wire.Message] = []
        if sender not in self.sent:
            self.sent[sender] = 0
            messages.append(wire.Hello(sender.decode()))
        for delivery in rows:
            self.sent[sender] += 1
            messages.append(wire.Msg(self.sent[sender], delivery))
        self.judge.from_up(sender, wire.Frame((1, 1), messages), 0)

    def answers(self, sender: bytes = b"exec-0") -> list[wire.Message]:
        """What was said to `sender` about its rows since the last call, the ends of lags aside."""
        acts = [act for act in self.judge.take(0) if isinstance(act, Sent)]
        messages = [
            message
            for act in acts
            if act.target.address == sender  # type: ignore[union-attr]
            for message in wire.decode_frame(act.data).messages
        ]
        return [m for m in messages if not isinstance(m, wire.Done | wire.Welcome)]


def settled(answers: list[wire.Message]) -> list[tuple[str, int]]:
    return [(m.key, m.last) for m in answers if isinstance(m, wire.Settled)]


def refused(answers: list[wire.Message]) -> list[tuple[str, int]]:
    return [(m.key, m.upto) for m in answers if isinstance(m, wire.Refused)]


def test_an_appended_row_is_settled_with_its_identity() -> None:
    bench = Bench()
    bench.send(row("k", 1))
    bench.judge.work(0, ALL)
    (answer,) = bench.answers()
    assert isinstance(answer, wire.Settled)
    assert (answer.key, answer.last, answer.upto, answer.event_id) == ("k", 1, 1, b"k 1")


def test_a_refused_row_is_answered_refused_and_never_settled() -> None:
    bench = Bench()
    bench.send(row("k", 2))
    bench.judge.work(0, ALL)
    answers = bench.answers()
    assert (refused(answers), settled(answers)) == ([("k", 1)], [])
    assert bench.judge.depth == 0
    bench.judge.work(0, ALL)
    bench.judge.tick(0)
    assert bench.answers() == []
    statistics = bench.judge.statistics()
    assert (statistics.refused, statistics.settled, statistics.received) == (1, 0, 0)
    assert bench.store.rows == []


def test_nothing_is_answered_before_append_has_returned() -> None:
    during: list[wire.Message] = []

    def append(batch: Sequence[Delivery]) -> Sequence[Judged]:
        during.extend(bench.answers())
        return bench.store.append(batch)

    bench = Bench(append)
    bench.send(row("k", 1), row("k", 3))
    assert bench.answers() == [], "received is not judged"
    bench.judge.work(0, ALL)
    assert during == []
    answers = bench.answers()
    assert (settled(answers), refused(answers)) == ([("k", 1)], [("k", 2)])


def test_a_store_that_cannot_commit_settles_and_refuses_nothing() -> None:
    class CommitError(Exception):
        pass

    def append(batch: Sequence[Delivery]) -> Sequence[Judged]:
        raise CommitError(str(len(batch)))

    bench = Bench(append)
    bench.send(row("k", 1))
    try:
        bench.judge.work(0, ALL)
    except CommitError:
        pass
    else:
        raise AssertionError("the failure was swallowed")
    assert bench.answers() == []


def test_a_refusal_after_a_settlement_of_its_key_in_one_batch_covers_only_its_own() -> None:
    bench = Bench()
    bench.send(row("k", 1), row("other", 1), row("k", 2), row("k", 3, history=7))
    bench.judge.work(0, ALL)
    answers = bench.answers()
    assert settled(answers) == [("k", 2), ("other", 1)]
    assert refused(answers) == [("k", 4)]
    assert isinstance(answers[-1], wire.Refused), "said first it would cover what was settled"
    numbers = [m.ack_seq for m in answers if isinstance(m, wire.Settled | wire.Refused)]
    assert numbers == sorted(numbers)


def test_a_refusal_leaves_what_its_key_sent_after_it() -> None:
    bench = Bench()
    bench.send(row("k", 2), row("k", 1))
    bench.judge.work(0, ALL)
    answers = bench.answers()
    assert settled(answers) == [("k", 1)]
    assert refused(answers) == [("k", 1)]
    bench.send(row("k", 2))
    bench.judge.work(0, ALL)
    assert settled(bench.answers()) == [("k", 2)]


def test_a_row_settled_for_one_sender_settles_it_for_the_other() -> None:
    bench = Bench()
    bench.send(row("k", 1))
    bench.send(row("k", 1), sender=b"exec-1")
    bench.judge.work(0, 1)
    acts = {sender: settled(found) for sender, found in both(bench).items()}
    assert acts == {b"exec-0": [("k", 1)], b"exec-1": [("k", 1)]}
    assert not bench.judge.work(0, ALL)
    assert len(bench.store.rows) == 1


def both(bench: Bench) -> dict[bytes, list[wire.Message]]:
    found: dict[bytes, list[wire.Message]] = {b"exec-0": [], b"exec-1": []}
    for act in bench.judge.take(0):
        if isinstance(act, Sent):
            address = act.target.address  # type: ignore[union-attr]
            found[address] += wire.decode_frame(act.data).messages
    return found


def test_a_question_is_answered_with_the_recorded_tail() -> None:
    bench = Bench()
    bench.send(row("k", 1))
    bench.judge.work(0, ALL)
    bench.answers()
    bench.judge.from_up(b"asker", wire.Frame(wire.NO_SESSION, [wire.Ask(5, "k")]), 0)
    (answer,) = bench.answers(b"asker")
    assert isinstance(answer, wire.State)
    assert (answer.question, answer.tail.last, answer.tail.event_id) == (5, 1, b"k 1")
    assert isinstance(answer.tail, Tail)
