from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.messages import Fate
from pipeline.transport import wire
from pipeline.transport.audit_check import AuditCheck
from pipeline.transport.outbox import Sent, ToAsk
from pipeline.transport.settings import Timing
from pipeline.transport.stopping import StoppingDispatcher


class Bench:
    """A journal's marks on one side, an audit's rows on the other."""

    def __init__(self, marks: dict[str, int], rows: dict[str, int]) -> None:
        self.marks, self.rows, self.boot = marks, rows, 1
        self.behind: list[tuple[str, int]] = []
        self.asked: list[tuple[str, ...]] = []
        self.now_ns = NS_PER_S
        self.deaf = False
        self.check = AuditCheck(
            lambda: marks, lambda key: marks.get(key, 0), lambda key, last: self.behind.append((key, last))
        )
        self.check.set_audits([0])

    def turn(self, seconds: float = 0.1) -> None:
        self.now_ns += int(seconds * NS_PER_S)
        self.check.tick(self.now_ns)
        while acts := self.check.take():
            for act in acts:
                assert isinstance(act, Sent)
                assert act.target == ToAsk(0)
                for message in wire.decode_frame(act.data).messages:
                    assert isinstance(message, wire.AskLasts)
                    self.asked.append(message.keys)
                    if not self.deaf:
                        self.answer(message)

    def answer(self, asked: wire.AskLasts) -> None:
        lasts = tuple(self.rows.get(key, 0) for key in asked.keys)
        state = wire.Lasts(asked.question, self.boot, lasts)
        self.check.receive(0, wire.Frame(wire.NO_SESSION, [state]), self.now_ns)


def test_at_the_start_every_key_is_asked_about_once_and_only_those_behind_are_named() -> None:
    marks = {f"K{n}": 5 for n in range(600)}
    bench = Bench(marks, {**marks, "K7": 4, "K500": 0, "K9": 8})
    bench.turn()
    assert sorted(bench.behind) == [("K500", 0), ("K7", 4)]
    assert sorted(key for keys in bench.asked for key in keys) == sorted(marks)
    assert max(map(len, bench.asked)) == limits.RECONCILE_CHECK_KEYS
    assert not bench.check.busy


def test_an_audit_that_began_anew_is_asked_about_every_key_again() -> None:
    bench = Bench({"A": 5}, {"A": 5})
    bench.turn()
    bench.turn(limits.RECONCILE_LOOK_S + 1)
    assert bench.asked == [("A",), ()], "a look asks for no key"
    bench.rows["A"], bench.boot = 3, 2
    bench.turn(limits.RECONCILE_LOOK_S + 1)
    assert bench.behind == [("A", 3)]


def test_a_mark_that_rose_after_the_question_proves_nothing() -> None:
    bench = Bench({"A": 5}, {"A": 5})
    bench.deaf = True
    bench.turn()
    bench.marks["A"] = 9
    bench.answer(wire.AskLasts(1, ("A",)))
    assert bench.behind == []


def test_a_question_without_an_answer_is_asked_again() -> None:
    bench = Bench({"A": 5}, {"A": 1})
    bench.deaf = True
    bench.turn()
    assert bench.check.busy
    bench.deaf = False
    bench.turn(0.1)
    assert bench.behind == []
    bench.turn(limits.RECONCILE_ASK_AGAIN_S)
    assert bench.behind == [("A", 1)]


def test_whoever_does_not_answer_is_asked_less_and_less_often() -> None:
    bench = Bench({"A": 5}, {})
    bench.deaf = True
    for _ in range(100):
        bench.turn(1)
    assert 10 < len(bench.asked) < 20
    assert bench.behind == []


@pytest.fixture
def deliveries() -> Callable[[int, int], list[object]]:
    from some_rows import lone_row

    return lambda first, last: [lone_row("A", key_seq) for key_seq in range(first, last + 1)]


def test_a_stopped_key_sends_nothing_keeps_what_comes_and_goes_on_after_what_was_sent_again(
    deliveries: Callable[[int, int], list[object]],
) -> None:
    settled: list[int] = []
    timing = Timing(1, 1, 1, 64, 16)
    dispatcher = StoppingDispatcher(
        "gateway-0", 1, timing,
        on_settled=lambda pending: settled.append(pending.delivery.key_seq),
        on_fate=lambda *_: None, on_alarm=pytest.fail,
    )  # fmt: skip
    for delivery in deliveries(5, 6):
        dispatcher.enqueue(delivery, 0)  # type: ignore[arg-type]
    dispatcher.stop("A", 4)
    dispatcher.enqueue(deliveries(7, 7)[0], 0)  # type: ignore[arg-type]
    assert (dispatcher.unsettled, dispatcher.stopped) == (3, 3)
    dispatcher.fated("A", 6, Fate.EXPIRED)
    dispatcher.resend("A", deliveries(2, 4), 0)  # type: ignore[arg-type]
    assert dispatcher.resending("A") == 3
    dispatcher._settled("A", 3, b"")
    dispatcher._settled("A", 9, b"from before the restore")
    assert (settled, dispatcher.resending("A")) == ([2, 3, 4], 0)
    dispatcher.release("A")
    assert (dispatcher.unsettled, dispatcher.stopped) == (3, 0)
    dispatcher._settled("A", 7, b"")
    assert settled == [2, 3, 4, 5, 6, 7]
