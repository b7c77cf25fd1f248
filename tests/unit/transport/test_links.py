"""One sender's Downlinks against one receiver's Uplinks, message by message."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.clock import NS_PER_MS
from pipeline.delivery import Delivery
from pipeline.transport import wire
from pipeline.transport.downlinks import Downlinks
from pipeline.transport.outbox import Closed, Opened, Outbox, Sent
from pipeline.transport.settings import Timing
from pipeline.transport.uplinks import Uplink, Uplinks

TIMING = Timing(
    heartbeat_ns=10 * NS_PER_MS, dead_after_ns=50 * NS_PER_MS, ask_again_ns=20 * NS_PER_MS, credit=4, depth=1
)


def delivery(key: str, key_seq: int) -> Delivery:
    return Delivery(key, key_seq, b"id", "s", "w", 0, 0, b"")


@dataclass
class Pair:
    """Sender and receiver, with a wire that a test can look at, cut and re-order."""

    boot: int = 77
    died: tuple[str, int] | None = None
    now_ns: int = 0
    settled: list[tuple[str, int, bytes]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    deaths: list[tuple[str, int, str, int]] = field(default_factory=list)
    got: list[tuple[Uplink, int, Delivery]] = field(default_factory=list)
    closed: list[Uplink] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.down_box, self.up_box = Outbox(), Outbox()
        self.down = Downlinks(
            "gateway-0", "agent", 5, TIMING, self.down_box,
            on_settled=lambda *a: self.settled.append(a), on_refused=self.refused.append,
            on_died=lambda *a: self.deaths.append(a), on_change=lambda: None,
        )  # fmt: skip
        self.reboot()
        self.down.set_members([0])
        self.beat()

    def reboot(self) -> None:
        self.boot += 1
        self.up_box = Outbox()
        self.up = Uplinks(
            self.boot, TIMING, self.up_box, self.died,
            on_message=lambda *a: self.got.append(a), on_closed=self.closed.append,
        )  # fmt: skip

    def downward(self) -> list[wire.Frame]:
        return [wire.decode_frame(act.data) for act in self.down_box.take() if isinstance(act, Sent)]

    def upward(self) -> list[wire.Frame]:
        return [wire.decode_frame(act.data) for act in self.up_box.take() if isinstance(act, Sent)]

    def carry(self) -> None:
        for frame in self.downward():
            self.up.receive(b"g", frame, self.now_ns)
        for frame in self.upward():
            self.down.receive(0, frame, self.now_ns)

    def beat(self, ms: int = 0) -> None:
        self.now_ns += ms * NS_PER_MS
        self.down.tick(self.now_ns)
        self.carry()

    def send(self, key: str, key_seq: int) -> None:
        link = self.down.route(key)
        assert link is not None
        assert link.free > 0
        self.down.transmit(link, delivery(key, key_seq), self.now_ns)

    @property
    def free(self) -> int:
        return self.down.statistics()[0].free


def test_a_welcome_opens_the_link_with_its_credit() -> None:
    pair = Pair()
    (link,) = pair.down.statistics()
    assert (link.up, link.credit, link.free) == (True, 4, 4)


def test_done_ends_the_lag_and_returns_no_credit() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.got[0][0].done(1)
    pair.carry()
    assert pair.free == 3
    assert pair.down.statistics()[0].oldest_ns is None


def test_settled_returns_credit_for_what_the_receiver_had_seen() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.send("k", 1)  # sent again, still on the wire
    pair.got[0][0].settle("k", 1, b"id")
    for frame in pair.upward():
        pair.down.receive(0, frame, 0)
    assert pair.settled == [("k", 1, b"id")]
    assert pair.free == 3


def test_refused_covers_everything_of_the_key_up_to_it() -> None:
    pair = Pair()
    for n in (1, 2, 3):
        pair.send("k", n)
    pair.carry()
    assert pair.got[0][0].refuse("k", 2)
    pair.carry()
    assert pair.refused == ["k"]
    assert pair.free == 3


def test_a_lost_message_ends_the_session_at_the_next_one() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.downward()
    pair.send("k", 2)
    pair.carry()
    assert pair.refused == ["k"]
    assert not pair.got
    assert len(pair.closed) == 1


def test_a_lost_message_ends_the_session_at_the_next_ping_at_the_latest() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.downward()
    pair.beat(10)
    assert pair.refused == ["k"]


def test_a_lost_acknowledgement_ends_the_session() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.got[0][0].settle("k", 1, b"id")
    pair.upward()
    pair.beat(10)
    assert pair.refused == ["k"]


def test_a_doubled_message_is_taken_once() -> None:
    pair = Pair()
    pair.send("k", 1)
    (frame,) = pair.downward()
    pair.up.receive(b"g", frame, 0)
    pair.up.receive(b"g", frame, 0)
    assert len(pair.got) == 1


def test_a_restarted_receiver_ends_the_session_also_when_the_socket_reconnected_silently() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.reboot()
    pair.beat(10)
    assert pair.refused == ["k"]
    pair.beat(10)
    assert pair.down.statistics()[0].up


def test_silence_ends_the_session_on_both_sides() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.now_ns += 51 * NS_PER_MS
    pair.down.tick(pair.now_ns)
    assert pair.refused == ["k"]
    assert any(isinstance(act, Closed) for act in pair.down_box.take())
    pair.up.tick(101 * NS_PER_MS)
    assert len(pair.closed) == 1
    pair.down.tick(pair.now_ns)
    assert any(isinstance(act, Opened) for act in pair.down_box.take())


def test_a_new_session_cancels_the_older_one_of_its_sender() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.up.receive(b"g2", wire.Frame((5, 9), [wire.Hello("gateway-0")]), 0)
    assert [link.session for link in pair.closed] == [(5, 1)]
    assert not pair.got[0][0].holds("k", 1)
    pair.up.receive(b"g", wire.Frame((5, 1), [wire.Hello("gateway-0")]), 0)
    assert [link.session for link in pair.up] == [(5, 9)]


def test_goodbye_takes_no_new_keys_and_keeps_those_in_flight() -> None:
    pair = Pair()
    pair.send("k", 1)
    pair.carry()
    pair.up.leave()
    pair.carry()
    assert pair.down.route("k") is None
    assert pair.down.route("new") is None
    pair.got[0][0].settle("k", 1, b"id")
    pair.carry()
    assert pair.settled == [("k", 1, b"id")]


def test_a_death_in_hand_is_named_in_the_welcome() -> None:
    pair = Pair(died=("k", 3))
    assert pair.deaths == [("k", 3, "agent-0", pair.boot)]


def test_messages_of_one_turn_share_a_frame() -> None:
    pair = Pair()
    for n in (1, 2, 3):
        pair.send(f"k{n}", 1)
    (frame,) = pair.downward()
    assert [type(message) for message in frame.messages] == [wire.Msg] * 3
