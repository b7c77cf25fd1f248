"""`ringline up --autoscale` with real processes: a slow venue under load gets more execs, a quiet minute
takes them away again, and whatever moves meanwhile, nothing is lost and no decision changes."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from load_runs import environment
from real_pipeline import Client, Running, make_config, wait_for

from pipeline.autoscale.state import AutoscaleState, read_state
from pipeline.config import Config
from pipeline.storage.audit.engines import open_reader
from pipeline.supervisor import read_status
from pipeline_operator.replay import replay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SYMBOLS = [f"K{n}" for n in range(24)]
ROUNDS = 40
"""960 orders at 50 ms, two at a time: one exec needs 24 s for what arrives in 12."""
VENUE = {"venue_latency_ms": 50, "venue_concurrency": 2}
POLICY = {
    "mode": "active",
    "stages": [
        {"name": "gateway"},
        {"name": "agent", "upstream": ["gateway"]},
        {"name": "exec", "upstream": ["agent"], "maxReplicas": 3, "slas": {"lagMs": 500}},
        {"name": "audit", "upstream": ["exec"]},
    ],
    "tuning": {"startMs": 10_000, "lowerHoldMs": 5_000},
}


def order(symbol: str, turn: int) -> dict[str, Any]:
    """In and out in turn, so that every one is an order."""
    side = {"side": "buy", "quantity": "10"} if turn % 2 == 0 else {"side": "close"}
    price = f"{100 + (turn * 7 + 3 * int(symbol[1:])) % 23}.00"
    return {"type": "signal", "symbol": symbol, "strategy": "hand", "price": price, **side}


def post_orders(config: Config, per_s: float | None) -> dict[str, str]:
    """Every symbol's orders in turn; the event's ids by webhook-id."""
    answers: dict[str, str] = {}
    failures: list[BaseException] = []

    def lane(symbols: list[str]) -> None:
        try:
            with contextlib.closing(Client(config)) as client:
                begun_s = time.monotonic()
                for turn in range(ROUNDS):
                    for symbol in symbols:
                        name = f"{symbol}-{turn}"
                        answers[name] = client.post_until_taken(name, order(symbol, turn))["event_id"]
                    if per_s is not None:
                        due_s = begun_s + (turn + 1) * len(SYMBOLS) / per_s
                        threading.Event().wait(max(0.0, due_s - time.monotonic()))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=lane, args=(SYMBOLS[n::4],), daemon=True) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures, failures[0]
    assert len(answers) == ROUNDS * len(SYMBOLS)
    return answers


def checked(config: Config, answers: dict[str, str]) -> str:
    """One row for each 202, in order per key, the chain whole; the run's digest."""

    def settled() -> bool:
        with contextlib.closing(open_reader(config)) as audit:
            return audit.head().seq >= len(answers)

    wait_for(settled, "everything to be audited", 60)
    with contextlib.closing(open_reader(config)) as audit:
        rows = [row.delivery for row in audit.rows(limit=100_000)]
        assert audit.verify().ok
        digest = audit.run_digest()
    assert sorted(row.event_id.hex() for row in rows) == sorted(answers.values())
    by_key = defaultdict(list)
    for row in rows:
        by_key[row.key].append(row.webhook_id)
    assert by_key == {symbol: [f"{symbol}-{turn}" for turn in range(ROUNDS)] for symbol in SYMBOLS}
    return digest


@contextlib.contextmanager
def up(folder: Path, config: Config, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    file = folder / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        child = subprocess.Popen(
            (sys.executable, "-m", "pipeline", "up", "--config", str(file), *words),
            env=environment(), stdout=out, stderr=err,
        )  # fmt: skip
    try:
        wait_for(lambda: b"Autoscaling:" in (folder / "out").read_bytes(), "the pipeline", 60)
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(60)
        finally:
            child.kill()
            child.wait()


def state_of(config: Config) -> AutoscaleState:
    found = read_state(config.data_dir)
    assert found is not None
    return found


def execs(config: Config) -> list[int]:
    status = read_status(config.data_dir)
    assert status is not None
    return [one.ordinal for one in status.processes if one.stage == "exec" and one.ready and not one.leaving]


def test_a_slow_venue_gets_execs_and_gives_them_back_and_nothing_changes(tmp_path: Path) -> None:
    calm = make_config(_folder(tmp_path / "calm"))
    with Running(calm):
        undisturbed = checked(calm, post_orders(calm, None))
    folder = _folder(tmp_path / "scaled")
    config = make_config(folder, exec=VENUE)
    policy = folder / "policy.json"
    policy.write_text(json.dumps(POLICY))
    with up(folder, config, "--autoscale", "--policy", str(policy)) as child:
        assert execs(config) == [0]
        answers = post_orders(config, per_s=80)
        digest = checked(config, answers)
        wait_for(lambda: execs(config) == [0, 1, 2], "three execs")
        wait_for(lambda: all(one.met_us for one in state_of(config).changes if one.breach_us), "the SLA")
        raised = state_of(config).changes
        first = raised[0]
        assert first.before == 1
        assert raised[-1].after == 3
        assert first.breach_us is not None
        assert first.ready_us is not None
        assert first.met_us is not None
        assert max(first.decided_us, first.breach_us) < first.met_us
        assert "exec 1 →" in first.sentence
        shown = subprocess.run(
            (sys.executable, "-m", "pipeline", "status", "--config", str(folder / "config.json")),
            env=environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert shown.returncode == 0, shown.stdout
        assert first.sentence in shown.stdout
        wait_for(lambda: execs(config) == [0], "the execs to leave", 150)
        assert [change.stage for change in state_of(config).changes[len(raised) :]] != []
        # What was scaled down takes events as before.
        with contextlib.closing(Client(config)) as client:
            client.post_until_taken("afterwards", order("K0", 0))
        child.send_signal(signal.SIGTERM)
        assert child.wait(60) == 0
    assert digest == undisturbed
    lines = (Path(config.data_dir) / "decisions.jsonl").read_bytes().splitlines()
    assert replay(lines).same
    assert not [line for line in (folder / "err").read_text().splitlines() if "killing" in line]


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
