"""CURVE on real sockets over TCP: who holds a key talks, who does not never reaches the protocol."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from real_pipeline import Client, Running, candle, make_config, wait_for

from pipeline.stages.link_report import read_link_reports
from pipeline.storage.audit.engines import open_reader
from pipeline.telemetry.link_files import links_folder
from pipeline.transport import wire
from pipeline.transport.curve import LinkKey, LinkKeys
from pipeline.transport.members import FixedMembers
from pipeline.transport.outbox import Opened, Sent, ToAsk, ToDown, ToUp
from pipeline.transport.sockets import FROM_ASK, FROM_DOWN, FROM_UP, Sockets

OURS, OLD, THEIRS = (LinkKey.of(text * 8) for text in (b"ours", b"old!", b"else"))
HELLO = wire.encode_frame((1, 1), [wire.Hello("gateway-0")])


def free_address() -> str:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as probe:
        return f"tcp://127.0.0.1:{probe.bind_to_random_port('tcp://127.0.0.1')}"


@contextlib.contextmanager
def server(where: str, keys: LinkKeys) -> Iterator[tuple[Sockets, list[bytes]]]:
    sockets = Sockets("agent-0", 1, bind=where, keys=keys)
    try:
        yield sockets, []
    finally:
        sockets.close()


@contextlib.contextmanager
def client(where: str, keys: LinkKeys) -> Iterator[Sockets]:
    members = FixedMembers({0: where})
    sockets = Sockets("gateway-0", 1, bind=None, downstream=members, audits=members, keys=keys)
    try:
        yield sockets
    finally:
        sockets.close()


def say_hello(sockets: Sockets, number: int = 1) -> None:
    target = ToDown(0, (1, number))
    sockets.carry_out([Opened(target), Sent(target, HELLO)])


def arrived(sockets: Sockets, seen: list[bytes]) -> list[bytes]:
    sockets.poll(5)
    for source, address, data in sockets.receive():
        assert source == FROM_UP
        assert isinstance(address, bytes)
        seen.append(data)
        sockets.carry_out([Sent(ToUp(address), data)])
    return seen


def until(done: Callable[[], bool]) -> bool:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if done():
            return True
    return False


def test_a_peer_with_the_key_talks_both_ways() -> None:
    where = free_address()
    with server(where, (OURS,)) as (agent, seen), client(where, (OURS,)) as gateway:
        say_hello(gateway)
        assert until(lambda: bool(arrived(agent, seen)))
        assert until(lambda: gateway.poll(5) and [got[0] for got in gateway.receive()] == [FROM_DOWN])
        assert agent.strangers == 0


@pytest.mark.parametrize("keys", [(THEIRS,), ()], ids=["another key", "plain text"])
def test_a_stranger_is_turned_away_and_counted_and_told_of_once(
    keys: LinkKeys, caplog: pytest.LogCaptureFixture
) -> None:
    where = free_address()
    with (
        caplog.at_level(logging.WARNING),
        server(where, (OURS,)) as (agent, seen),
        client(where, keys) as stranger,
    ):
        say_hello(stranger)
        assert until(lambda: not arrived(agent, seen) and agent.strangers >= 1)
        assert seen == []
        assert not list(stranger.receive())
    said = [record for record in caplog.records if "turned away" in record.message]
    assert len(said) == 1
    assert "ours" not in caplog.text


def test_who_knows_the_servers_public_key_still_needs_a_key_of_ours() -> None:
    where = free_address()
    with (
        server(where, (OURS,)) as (agent, seen),
        zmq.Context() as context,
        context.socket(zmq.DEALER) as thief,
    ):
        thief.setsockopt(zmq.LINGER, 0)
        thief.setsockopt(zmq.CURVE_SERVERKEY, OURS.public)
        thief.setsockopt(zmq.CURVE_PUBLICKEY, THEIRS.public)
        thief.setsockopt(zmq.CURVE_SECRETKEY, THEIRS.secret)
        thief.connect(where)
        thief.send(HELLO)
        assert until(lambda: not arrived(agent, seen) and agent.strangers >= 1)
    assert seen == []


def test_a_keyed_peer_says_nothing_to_a_server_without_one() -> None:
    where = free_address()
    with server(where, ()) as (agent, seen), client(where, (OURS,)) as gateway:
        say_hello(gateway)
        for _ in range(50):
            assert arrived(agent, seen) == []


@pytest.mark.parametrize(
    ("serves", "dials"), [((OLD,), (OURS, OLD)), ((OLD, OURS), (OURS, OLD)), ((OURS, OLD), (OLD, OURS))]
)
def test_while_keys_are_rotated_the_next_session_tries_the_next_key(
    serves: LinkKeys, dials: LinkKeys
) -> None:
    where = free_address()
    with server(where, serves) as (agent, seen), client(where, dials) as gateway:
        say_hello(gateway)
        assert until(lambda: not arrived(agent, seen) and agent.strangers >= 1)
        say_hello(gateway, 2)
        assert until(lambda: bool(arrived(agent, seen)))


def test_questions_too_find_the_key_that_the_audit_serves_with() -> None:
    where = free_address()
    question = Sent(ToAsk(0), wire.encode_frame(wire.NO_SESSION, [wire.Ask(1, "AAPL")]))
    with server(where, (OLD, OURS)) as (audit, seen), client(where, (OURS, OLD)) as worker:

        def answered() -> bool:
            worker.carry_out([question])
            arrived(audit, seen)
            worker.poll(5)
            return any(got[0] == FROM_ASK for got in worker.receive())

        assert until(answered)


def test_a_whole_pipeline_runs_encrypted(tmp_path: Path) -> None:
    key_file = tmp_path / "links.key"
    key_file.write_bytes(b"k" * 40)
    config = make_config(tmp_path, links={"key_file": str(key_file)}, agent={"workers": 2})
    with Running(config):
        with contextlib.closing(Client(config)) as client:
            for day in range(20):
                client.post_until_taken(f"A-{day}", candle(f"S{day % 4}", day // 4))

        def audited() -> int:
            with contextlib.closing(open_reader(config)) as audit:
                return audit.head().seq

        wait_for(lambda: audited() == 20, "20 rows")

        def versions() -> set[int]:
            reports = {report.name: report for report in read_link_reports(links_folder(config))}
            return {link.version for link in reports["exec-0"].links}

        wait_for(lambda: versions() == {wire.PROTOCOL_VERSION}, "a report of the link that was opened")
        assert all(report.strangers == 0 for report in read_link_reports(links_folder(config)))
