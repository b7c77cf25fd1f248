"""What bounds frames, sessions and queues of a link, whoever is at its other end."""

from __future__ import annotations

import pytest
from toy_pipeline import TIMING

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.delivery import Delivery, Tail
from pipeline.errors import FrameError
from pipeline.messages import Fate
from pipeline.transport import wire
from pipeline.transport.downlinks import Downlinks
from pipeline.transport.judge import Judge
from pipeline.transport.outbox import Act, Outbox, Sent, ToUp
from pipeline.transport.settings import Timing


def frames(acts: list[Act]) -> list[wire.Frame]:
    return [wire.decode_frame(act.data) for act in acts if isinstance(act, Sent)]


def judge() -> Judge:
    return Judge("audit-0", 1, lambda _batch: [], lambda key: Tail(key, 0), TIMING, batch=8)


def test_a_frame_of_too_many_messages_is_refused() -> None:
    most: list[wire.Message] = [wire.Ping(1)] * limits.MAX_FRAME_MESSAGES
    assert len(wire.decode_frame(wire.encode_frame((1, 1), most)).messages) == len(most)
    with pytest.raises(FrameError):
        wire.decode_frame(wire.encode_frame((1, 1), [*most, wire.Ping(1)]))


def test_large_messages_go_in_several_frames_none_of_which_is_too_large() -> None:
    outbox = Outbox()
    large = Delivery("K", 1, b"", "s", "w", 1, Fate.LIVE, bytes(limits.MAX_BODY_BYTES))
    for number in range(1, 101):
        outbox.send(ToUp(b"x"), wire.Msg(number, large), (1, 1))
    sent = frames(outbox.take())
    assert len(sent) > 1
    assert [one.link_seq for frame in sent for one in frame.messages if isinstance(one, wire.Msg)] == list(
        range(1, 101)
    )


def test_a_receiver_keeps_no_more_sessions_than_there_can_be_senders() -> None:
    node = judge()
    for number in range(limits.MAX_SENDERS + 5):
        frame = wire.Frame((1, 1), [wire.Hello(f"s{number}")])
        node.from_up(b"%d" % number, frame, 1)
    answers = [type(message) for frame in frames(node.take(1)) for message in frame.messages]
    assert answers.count(wire.Welcome) == limits.MAX_SENDERS
    assert answers.count(wire.Reset) == 5


def test_a_sender_that_goes_beyond_any_credit_is_cut() -> None:
    node = judge()
    node.from_up(b"x", wire.Frame((1, 1), [wire.Hello("s")]), 1)
    for number in range(1, limits.MAX_CREDIT + 2):
        delivery = Delivery("K", number, b"", "s", "w", 1, Fate.LIVE, b"")
        node.from_up(b"x", wire.Frame((1, 1), [wire.Msg(number, delivery)]), 1)
    assert node.statistics().resets == 1
    assert node.statistics().received == 0


@pytest.mark.parametrize(("dead_after_s", "pings"), [(3, 10), (6, 5)])
def test_a_link_with_nothing_in_flight_is_pinged_half_as_often_where_that_is_safe(
    dead_after_s: int, pings: int
) -> None:
    timing = Timing(
        heartbeat_ns=NS_PER_S, dead_after_ns=dead_after_s * NS_PER_S, ask_again_ns=1, credit=8, depth=2
    )
    outbox = Outbox()
    links = Downlinks(
        "gateway-0", "agent", 1, timing, outbox,
        on_settled=lambda *_: None, on_refused=lambda _: None, on_died=lambda *_: None,
        on_change=lambda: None,
    )  # fmt: skip
    links.set_members([0])
    links.tick(0)
    links.receive(0, wire.Frame((1, 1), [wire.Welcome(5, 8, False)]), 0)
    outbox.take()

    def count(ticks: int) -> int:
        sent = 0
        for _ in range(ticks):
            links.tick(1)
            sent += sum(
                isinstance(one, wire.Ping) for frame in frames(outbox.take()) for one in frame.messages
            )
        return sent

    assert count(10) == pings
    (link,) = links
    links.transmit(link, Delivery("K", 1, b"", "s", "w", 1, Fate.LIVE, b""), 1)
    assert count(10) == 10
