"""Real processes, a real HTTP client, SIGKILL in mid-flow: what was answered 202 is audited exactly once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import urllib.request
from collections import defaultdict
from pathlib import Path

import pytest
import zmq
from real_pipeline import Client, Running, candle, make_config, wait_for
from servers import running_postgres

from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.storage.audit import AuditReader
from pipeline.storage.audit.checkpoints import (
    checkpoint_folder,
    latest,
    load_public_key,
    public_key_file,
    read_note,
)
from pipeline.storage.audit.engines import open_reader
from pipeline.transport import wire

SYMBOLS = [f"S{n}" for n in range(6)]
DAYS = 60


def price(symbol: str, day: int) -> str:
    """A saw-tooth that makes both strategies trade; another phase for each symbol."""
    return f"{100 + (day * 7 + 13 * int(symbol[1:])) % 37}.00"


def post_history(config: Config, answers: dict[str, str]) -> None:
    """Every symbol's candles in order, the next after its 202, symbols in parallel."""
    failures: list[BaseException] = []

    def lane(symbol: str) -> None:
        client = Client(config)
        try:
            for day in range(DAYS):
                webhook_id = f"{symbol}-{day}"
                answer = client.post_until_taken(webhook_id, candle(symbol, day, price(symbol, day)))
                answers[webhook_id] = answer["event_id"]
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=lane, args=(symbol,), daemon=True) for symbol in SYMBOLS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures[0]


def reader(config: Config) -> contextlib.closing[AuditReader]:
    return contextlib.closing(open_reader(config))


def audited(config: Config) -> int:
    with reader(config) as audit:
        return audit.head().seq


def wait_until_audited(config: Config, count: int) -> None:
    wait_for(lambda: audited(config) >= count, f"{count} audit rows")


def check_rows(config: Config, answers: dict[str, str]) -> str:
    """One row for each 202, in order per key, the chain whole; returns the run's digest."""
    with reader(config) as audit:
        rows = [row.delivery for row in audit.rows(limit=100_000)]
        report = audit.verify()
        digest = audit.run_digest()
    assert report.ok, report.detail
    assert sorted(row.event_id.hex() for row in rows) == sorted(answers.values())
    by_key = defaultdict(list)
    for row in rows:
        by_key[row.key].append(row)
    for key, of_key in by_key.items():
        assert [row.key_seq for row in of_key] == list(range(1, DAYS + 1))
        assert [row.webhook_id for row in of_key] == [f"{key}-{day}" for day in range(DAYS)]
    return digest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a run in which nothing went wrong."""
    config = make_config(tmp_path_factory.mktemp("calm"))
    answers: dict[str, str] = {}
    with Running(config):
        post_history(config, answers)
        wait_until_audited(config, len(answers))
    return check_rows(config, answers)


@pytest.mark.parametrize("stage", ["gateway", "agent", "exec", "audit", "collector"])
def test_a_stage_killed_in_mid_flow_loses_doubles_and_changes_nothing(
    tmp_path: Path, undisturbed: str, stage: str
) -> None:
    config = make_config(tmp_path)
    answers: dict[str, str] = {}
    name = "collector" if stage == "collector" else f"{stage}-0"
    with Running(config) as running:
        posting = threading.Thread(target=post_history, args=(config, answers), daemon=True)
        posting.start()
        for share in (0.2, 0.5, 0.8):
            wait_for(lambda share=share: len(answers) >= share * DAYS * len(SYMBOLS), f"{share} of all")  # type: ignore[misc]
            running.kill(name)
        posting.join(120)
        assert len(answers) == DAYS * len(SYMBOLS)
        wait_until_audited(config, len(answers))
    assert check_rows(config, answers) == undisturbed


def test_several_workers_a_stage_share_the_keys_and_change_nothing(tmp_path: Path, undisturbed: str) -> None:
    config = make_config(tmp_path, agent={"workers": 2}, exec={"workers": 2})
    answers: dict[str, str] = {}
    with Running(config) as running:
        posting = threading.Thread(target=post_history, args=(config, answers), daemon=True)
        posting.start()
        wait_for(lambda: len(answers) >= 100, "the first hundred")
        running.kill("agent-1")
        running.kill("exec-0")
        posting.join(120)
        wait_until_audited(config, len(answers))
    assert check_rows(config, answers) == undisturbed


def test_two_audits_in_postgresql_keep_one_chain_through_a_kill_and_a_server_restart(
    tmp_path: Path, undisturbed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: dict[str, str] = {}
    with running_postgres() as server:
        monkeypatch.setenv("RINGLINE_AUDIT_DSN", server.dsn)
        config = make_config(tmp_path, audit={"engine": "postgres", "workers": 2})
        with Running(config) as running:
            posting = threading.Thread(target=post_history, args=(config, answers), daemon=True)
            posting.start()
            wait_for(lambda: len(answers) >= 100, "the first hundred")
            running.kill("audit-1")
            wait_for(lambda: len(answers) >= 200, "two hundred")
            server.stop()
            server.start()
            posting.join(120)
            wait_until_audited(config, len(answers))
        assert check_rows(config, answers) == undisturbed
        newest = latest(checkpoint_folder(config))
        assert newest is not None
        key = load_public_key(public_key_file(config))
        with reader(config) as audit:
            signed = key.open(read_note(newest))
            assert (signed.size, signed.h) == audit.head()
            assert audit.verify(signed=signed).ok


def test_a_pipeline_stopped_and_started_again_goes_on_where_it_was(tmp_path: Path, undisturbed: str) -> None:
    config = make_config(tmp_path)
    answers: dict[str, str] = {}
    posting = threading.Thread(target=post_history, args=(config, answers), daemon=True)
    with Running(config):
        posting.start()
        wait_for(lambda: len(answers) >= 150, "the first hundred and fifty")
    with Running(config):
        posting.join(120)
        wait_until_audited(config, DAYS * len(SYMBOLS))
    assert check_rows(config, answers) == undisturbed


def test_a_repeat_is_answered_as_the_first_time_and_another_body_is_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config) as running:
        client = Client(config)
        first = client.post("one", candle("S0", 1))
        again = client.post("one", candle("S0", 1))
        other = client.post("one", candle("S0", 2))
        assert (first[0], again[0], other[0]) == (202, 202, 422)
        assert first[1] == again[1]
        assert again[2]["idempotent-replayed"] == "true"
        client.close()
        running.kill("gateway-0")
        wait_for(lambda: client.post_until_taken("one", candle("S0", 1)) == first[1], "the same answer")
        client.close()
        wait_until_audited(config, 1)
    assert audited(config) == 1


def test_trading_is_halted_for_all_keys_also_for_those_seen_later_and_resumed(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config):
        client = Client(config)
        client.post_until_taken("a", candle("S0", 1))
        client.post_until_taken("halt", {"type": "control", "action": "halt", "reason": "test"})
        client.post_until_taken("b", {"type": "signal", "symbol": "S0", "side": "buy", "quantity": "1"})
        client.post_until_taken(
            "c", {"type": "signal", "symbol": "S9", "side": "buy", "quantity": "1", "price": "5"}
        )
        client.post_until_taken("resume", {"type": "control", "action": "resume"})
        client.post_until_taken(
            "d", {"type": "signal", "symbol": "S9", "side": "buy", "quantity": "1", "price": "5"}
        )
        client.close()
        wait_until_audited(config, 8)
    with reader(config) as audit:
        rows = {
            (row.delivery.key, row.delivery.webhook_id): row.delivery.outcome for row in audit.rows(limit=100)
        }
        assert audit.verify().ok
    assert rows["S0", "b"] == "rejected"
    assert rows["S9", "c"] == "rejected"
    assert rows["S9", "d"] in {"filled", "placed"}
    assert ("S9", "halt") in rows


def test_an_idle_pipeline_stops_at_once(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config):
        client = Client(config)
        client.post_until_taken("a", candle("S0", 1))
        client.close()
        wait_until_audited(config, 1)
        # Long enough for the journal to note, on its own account, that this is settled.
        journal = Path(config.data_dir) / "journal"
        noted = max(file.stat().st_mtime_ns for file in journal.iterdir())
        wait_for(
            lambda: max(file.stat().st_mtime_ns for file in journal.iterdir()) > noted, "a journalled mark"
        )
        began = time.monotonic()
    assert time.monotonic() - began < config.supervisor.drain_s / 2


def snapshot(config: Config) -> Snapshot:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{config.telemetry.port}/v1/snapshot", timeout=10
    ) as answer:
        return decode_snapshot(answer.read())


def test_a_stage_that_hangs_is_the_one_that_lags_and_those_before_it_say_they_are_blocked(
    tmp_path: Path,
) -> None:
    config = make_config(
        tmp_path, links={"credit": 16, "depth": 4, "heartbeat_ms": 50, "dead_after_ms": 1000}
    )
    answers: dict[str, str] = {}
    with Running(config) as running:
        posting = threading.Thread(target=post_history, args=(config, answers), daemon=True)
        posting.start()
        wait_for(lambda: len(answers) > 30, "some events")
        pid = running.pid("audit-0")
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: audit_alone_lags(config), "the audit's lag and the others' blocked time")
        finally:
            os.kill(pid, signal.SIGCONT)
        posting.join(120)
        wait_until_audited(config, len(answers))
    assert len(answers) == DAYS * len(SYMBOLS)


def audit_alone_lags(config: Config) -> bool:
    """The hung audit lags by seconds, also once its links are dead; exec, agent and gateway are blocked
    nearly all the time, and messages are counted that wait for credit."""
    stages = {stage.stage: stage for stage in snapshot(config).stages}
    recent = {name: stage.counts[0] for name, stage in stages.items() if stage.counts}
    waited = sum(stage.counts[-1].flow_throttled for stage in stages.values() if stage.counts)
    return (
        (stages["audit"].lag_ms or 0) > 2_000
        and all(recent[name].blocked_ms > 700 * recent[name].window_s for name in ("agent", "exec"))
        and waited >= 10
    )


def test_rows_that_make_no_sense_are_refused_and_harm_no_worker(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config) as running:
        before = {process.name: process.pid for process in running.supervisor.processes()}
        for stage, port in (("audit", config.audit.port), ("agent", config.agent.port)):
            stranger: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
            stranger.setsockopt(zmq.LINGER, 1000)
            stranger.connect(f"tcp://127.0.0.1:{port}")
            junk = Delivery("JUNK", 1, b"id", "s", "w", 0, 0, b"\xc1junk", decision=b"\xc1", fills=b"\xc1")
            hello, message = wire.Hello(f"stranger-of-{stage}"), wire.Msg(1, junk)
            stranger.send(wire.encode_frame((1, 1), [hello, message]))
            assert stranger.poll(10_000), f"{stage} answers"
            stranger.close()
        client = Client(config)
        client.post_until_taken("a", candle("S0", 1))
        client.close()
        wait_until_audited(config, 1)
        assert {process.name: process.pid for process in running.supervisor.processes()} == before
