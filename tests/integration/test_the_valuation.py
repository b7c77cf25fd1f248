"""The valuation of a real pipeline: its own book is worth what it earned, also after a restart."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

from real_pipeline import Client, Running, candle, free_ports, make_config, wait_for
from servers import running_postgres

from pipeline.config import Config, resolve
from pipeline.delivery import Delivery
from pipeline.storage.audit.engines import open_reader
from pipeline.trading.instruments import Instruments
from pipeline.trading.pnl import profit_and_loss


def ask(config: Config, path: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    url = f"http://127.0.0.1:{config.valuation.port}{path}"
    request = urllib.request.Request(url, data, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def rows(config: Config) -> list[Delivery]:
    with contextlib.closing(open_reader(config)) as reader:
        return list(reader.deliveries())


def earned(config: Config) -> Decimal:
    return sum(
        (Decimal(line.net) for line in profit_and_loss(rows(config), Instruments(config.trading))), Decimal()
    )


def worth(config: Config) -> Decimal:
    return Decimal(ask(config, "/v1/valuations", {"domains": ["pipeline"]})["nav"])


def post(config: Config, days: range) -> None:
    with contextlib.closing(Client(config)) as client:
        for day in days:
            for symbol in ("AAPL", "MSFT"):
                client.post_until_taken(f"{symbol}-{day}", candle(symbol, day, f"{100 + day * 13 % 37}.25"))


def test_the_own_book_is_worth_what_the_pipeline_earned(tmp_path: Path) -> None:
    valuation = {"enabled": True, "port": free_ports(1)[0], "nav_every_ms": 50, "snapshot_every_ms": 50}
    trading = {"strategies": {"sma": {"kind": "sma_cross", "fast": 2, "slow": 5}}, "throttles": []}
    config = make_config(tmp_path, valuation=valuation, trading=trading)
    with Running(config) as running:
        post(config, range(40))
        wait_for(lambda: ask(config, "/v1/status")["next_row"] == 81, "all rows are valued")
        assert earned(config) != 0
        assert worth(config) == earned(config)
        wait_for(lambda: ask(config, "/v1/status")["snapshot"]["next_row"] == 81, "all of it is stored")
        running.kill("valuation")
        post(config, range(40, 60))
        wait_for(lambda: _next_row(config) == 121, "a new one has taken the rest")
        assert worth(config) == earned(config)
        wait_for(lambda: _recorded(config) == earned(config), "its value is recorded")
        assert ask(config, "/v1/status")["complete"]


def test_it_needs_no_keys_of_the_links_and_no_feed(tmp_path: Path) -> None:
    """In a pod of its own it has neither."""
    port = free_ports(1)[0]
    tree = {
        "data_dir": str(tmp_path / "data"),
        "links": {"key_file": str(tmp_path / "nowhere")},
        "telemetry": {"directory": str(tmp_path / "rings"), "ring_entries": 1024},
        "valuation": {"port": port, "engine": "memory", "feed": False},
    }
    config = resolve(tree)
    (tmp_path / "config.json").write_text(json.dumps(tree))
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "worker",
        "valuation",
        "--config",
        str(tmp_path / "config.json"),
    ]
    worker = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _next_row(config) == 1, "it answers")
    finally:
        worker.terminate()
        worker.wait(30)


def test_it_leaves_in_time_while_its_engine_stands_still(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    with running_postgres() as server:
        tree = {
            "data_dir": str(tmp_path / "data"),
            "telemetry": {"directory": str(tmp_path / "rings"), "ring_entries": 1024},
            "valuation": {"port": port, "engine": "postgres", "feed": False, "nav_every_ms": 50},
        }
        config = resolve(tree)
        (tmp_path / "config.json").write_text(json.dumps(tree))
        command = [sys.executable, "-m", "pipeline", "worker", "valuation"]
        worker = subprocess.Popen(
            [*command, "--config", str(tmp_path / "config.json")], stdout=subprocess.DEVNULL,
            env={**os.environ, "RINGLINE_VALUATION_DSN": server.dsn},
        )  # fmt: skip
        try:
            wait_for(lambda: _next_row(config) == 1, "it answers")
            ask(config, "/v1/domains/desk", {"cash": "1", "positions": []}, "PUT")
            server.freeze()
            wait_for(lambda: ask(config, "/v1/status")["unstored"] > 10, "values wait")
            worker.terminate()
            assert worker.wait(config.supervisor.drain_s) == 0
        finally:
            server.thaw()
            worker.kill()
            worker.wait(30)


def test_a_model_that_waits_for_ever_holds_nothing_but_its_mark(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    (tmp_path / "mine.py").write_text(
        "import time\nclass Mine:\n    def price(self, mark, bars):\n        time.sleep(1000)\n"
    )
    tree = {
        "data_dir": str(tmp_path / "data"),
        "telemetry": {"directory": str(tmp_path / "rings"), "ring_entries": 1024},
        "valuation": {
            "port": port, "feed": False,
            "models": {"last": {"kind": "last"},
                       "mine": {"kind": "custom", "source": f"{tmp_path}/mine.py:Mine"}},
        },
    }  # fmt: skip
    config = resolve(tree)
    (tmp_path / "config.json").write_text(json.dumps(tree))
    command = [sys.executable, "-m", "pipeline", "worker", "valuation", "--config"]
    command.append(str(tmp_path / "config.json"))
    worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: _next_row(config) == 1, "it answers")
        with ThreadPoolExecutor(1) as others:
            taken = others.submit(ask, config, "/v1/candles", {"candles": [candle_of_a_day()]})
            answered = 0
            while not taken.done():
                answered += ask(config, "/v1/status")["marks"] == 0
            assert answered > 20, "it answers meanwhile, for 5 s"
            assert taken.result(30)["taken"] == 1
        assert "did not come back within 5 s" in ask(config, "/v1/status")["left_out"]["mine"]
        assert ask(config, "/v1/marks/A")["price"] == "1"
        assert not _children(worker.pid), "nothing is left of it"
    finally:
        worker.terminate()
        said = worker.communicate(timeout=30)[1]
    assert worker.returncode == 0
    assert "mine.py" in said


def test_the_users_models_end_with_the_service(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    (tmp_path / "mine.py").write_text("class Mine:\n    def price(self, mark, bars):\n        return mark\n")
    tree = {
        "data_dir": str(tmp_path / "data"),
        "telemetry": {"directory": str(tmp_path / "rings"), "ring_entries": 1024},
        "valuation": {
            "port": port, "feed": False, "model": "mine",
            "models": {"mine": {"kind": "custom", "source": f"{tmp_path}/mine.py:Mine"}},
        },
    }  # fmt: skip
    config = resolve(tree)
    (tmp_path / "config.json").write_text(json.dumps(tree))
    command = [sys.executable, "-m", "pipeline", "worker", "valuation", "--config"]
    worker = subprocess.Popen([*command, str(tmp_path / "config.json")], stderr=subprocess.DEVNULL)
    wait_for(lambda: _next_row(config) == 1, "it answers")
    (child,) = _children(worker.pid)
    worker.kill()
    worker.wait(30)
    wait_for(lambda: not Path(f"/proc/{child}").exists() or _is_dead(child), "its child ends too")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _is_dead(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def candle_of_a_day() -> dict[str, str]:
    return {"type": "candle", "symbol": "A", "time": "2024-01-01T00:00:00Z", "open": "1", "high": "1",
            "low": "1", "close": "1", "volume": "1"}  # fmt: skip


def _recorded(config: Config) -> Decimal:
    return Decimal(ask(config, "/v1/domains/pipeline/nav?limit=10000")["values"][-1]["nav"])


def _next_row(config: Config) -> int:
    try:
        found: int = ask(config, "/v1/status")["next_row"]
    except OSError:
        return 0
    return found
