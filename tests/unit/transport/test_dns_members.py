"""Members by DNS: replicas by ordinal, looked up where nobody waits."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable

import pytest

from pipeline.config.schema import Agent, Config
from pipeline.transport.dns_members import DnsMembers, members_of, resolve
from pipeline.transport.members import FixedMembers, own_endpoint


class NameServer:
    """Knows replicas by number; counts what it is asked."""

    def __init__(self, present: Iterable[int] = ()) -> None:
        self.present = set(present)
        self.down = False
        self.asked: list[str] = []

    def __call__(self, name: str) -> str | None:
        self.asked.append(name)
        if self.down:
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        number = int(name.partition(".")[0].rpartition("-")[2])
        return f"10.0.0.{number}" if number in self.present else None


def members(server: NameServer, *, workers: int = 1, max_replicas: int = 16) -> DnsMembers:
    return DnsMembers("rl-agent.ns", 8002, workers=workers, max_replicas=max_replicas, resolve=server)


def test_every_replica_is_found_under_its_ordinal() -> None:
    server = NameServer([0, 1, 3])
    known = members(server)
    assert known.endpoints() == {}
    known.look()
    assert known.endpoints() == {k: f"tcp://10.0.0.{k}:8002" for k in (0, 1, 3)}
    assert server.asked[0] == "rl-agent-0.rl-agent.ns"


def test_the_workers_of_a_replica_are_consecutive_ordinals_on_ports_ten_apart() -> None:
    known = members(NameServer([0, 2]), workers=2)
    known.look()
    assert known.endpoints() == {
        0: "tcp://10.0.0.0:8002", 1: "tcp://10.0.0.0:8012", 4: "tcp://10.0.0.2:8002", 5: "tcp://10.0.0.2:8012",
    }  # fmt: skip


def test_a_worker_listens_where_the_others_look_for_it() -> None:
    stage = Agent(host="0.0.0.0", members="dns", workers=2)
    assert own_endpoint(stage, 5) == "tcp://0.0.0.0:8012"
    assert own_endpoint(Agent(workers=2), 1) == "tcp://127.0.0.1:8012"


def test_replicas_that_join_and_leave_are_followed() -> None:
    server = NameServer([0])
    known = members(server)
    known.look()
    server.present |= {1, 2}
    known.look()
    assert set(known.endpoints()) == {0, 1, 2}
    server.present -= {0, 2}
    known.look()
    assert set(known.endpoints()) == {1}


def test_ten_more_replicas_are_found_within_a_few_looks() -> None:
    server = NameServer([0])
    known = members(server)
    for _ in range(3):
        known.look()
    server.present |= set(range(11))
    for _ in range(3):
        known.look()
    assert set(known.endpoints()) == set(range(11))


def test_few_absent_names_are_asked_for() -> None:
    server = NameServer([0])
    known = members(server, max_replicas=64)
    known.look()
    server.asked.clear()
    for _ in range(9):
        known.look()
    assert len(server.asked) == 9 * 5


def test_a_replica_behind_a_wide_gap_is_found_too() -> None:
    server = NameServer([0])
    known = members(server)
    known.look()
    server.present.add(12)
    for _ in range(10):
        known.look()
    assert set(known.endpoints()) == {0, 12}


def test_no_more_than_max_replicas_are_looked_for() -> None:
    known = members(NameServer(range(16)), max_replicas=3)
    known.look()
    assert set(known.endpoints()) == {0, 1, 2}


def test_a_name_server_that_is_down_takes_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    server = NameServer([0, 1])
    known = members(server)
    known.look()
    server.down = True
    for _ in range(11):
        known.look()
    assert set(known.endpoints()) == {0, 1}
    assert sum("cannot be looked up" in record.message for record in caplog.records) == 1


def test_a_new_address_replaces_the_old_one() -> None:
    addresses = {"a-0.a": "10.0.0.1"}
    known = DnsMembers("a", 8002, max_replicas=1, resolve=addresses.get)
    known.look()
    addresses["a-0.a"] = "10.0.0.9"
    known.look()
    assert known.endpoints() == {0: "tcp://10.0.0.9:8002"}


def test_the_thread_looks_by_itself_until_it_is_closed() -> None:
    known = members(NameServer([0])).start()
    until = time.monotonic() + 10
    while not known.endpoints() and time.monotonic() < until:
        time.sleep(0.005)
    known.close()
    assert known.endpoints()
    assert known._thread is not None
    known._thread.join(timeout=10)
    assert not known._thread.is_alive()


def test_the_systems_resolver_knows_localhost_and_no_invalid_name() -> None:
    assert resolve("localhost") == "127.0.0.1"


def test_local_members_need_no_name_server() -> None:
    found = members_of(Config(agent=Agent(workers=2)), "agent")
    assert isinstance(found, FixedMembers)
    assert found.endpoints() == {0: "tcp://127.0.0.1:8002", 1: "tcp://127.0.0.1:8012"}


def test_a_name_that_no_name_server_can_be_asked_for_is_absent() -> None:
    known = DnsMembers("a" * 70, 8002, max_replicas=2)
    known.look()
    assert known.endpoints() == {}
