"""The real pipeline for integration tests: real processes on free ports, a folder of its own."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook

from pipeline.config import Config, resolve
from pipeline.config.check import PORT_STRIDE
from pipeline.supervisor import Supervisor

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def free_ports(count: int) -> list[int]:
    """Ports that are free now, each with its next two strides free as well."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        taken = {other + PORT_STRIDE * k for other in found for k in range(3)}
        wanted = {port + PORT_STRIDE * k for k in range(3)}
        if port < 60_000 and not taken & wanted and all(map(_is_free, wanted)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def make_config(folder: Path, **changes: Any) -> Config:
    """A configuration with everything of its own below `folder`; `changes` by section."""
    secret = folder / "demo.whsec"
    secret.write_text(SECRET)
    gateway, agent, execs, audit, telemetry, feed = free_ports(6)
    tree: dict[str, Any] = {
        "data_dir": str(folder / "data"),
        "gateway": {"port": gateway},
        "agent": {"port": agent},
        "exec": {"port": execs},
        "audit": {"port": audit},
        "feed": {"port": feed},
        "telemetry": {"port": telemetry, "directory": str(folder / "rings"), "ring_entries": 4096},
        "links": {"heartbeat_ms": 50, "dead_after_ms": 1000, "ask_again_ms": 50},
        "supervisor": {"restarts": 100},
        "sources": {"demo": {"secret_files": [str(secret)]}},
    }
    for section, values in changes.items():
        if isinstance(values, dict):
            tree.setdefault(section, {}).update(values)
        else:
            tree[section] = values
    return resolve(tree)


def candle(symbol: str, day: int, close: str = "10.00") -> dict[str, str]:
    """A daily candle, `day` days after 2001-01-01."""
    when = datetime.fromtimestamp(978_307_200 + 86_400 * day + 75_600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    high, low = f"{float(close) + 1:.2f}", f"{float(close) - 1:.2f}"
    return {
        "type": "candle", "symbol": symbol, "time": when,
        "open": close, "high": high, "low": low, "close": close, "volume": "1000",
    }  # fmt: skip


class Client:
    """Posts signed events with the unmodified `standardwebhooks` package over http.client."""

    def __init__(self, config: Config, secret: str = SECRET) -> None:
        self._address = (config.gateway.host, config.gateway.port)
        self._webhook = Webhook(secret)
        self._connection: http.client.HTTPConnection | None = None

    def post(
        self, webhook_id: str, event: dict[str, Any], source: str = "demo"
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, JSON body and headers (lower case). Raises OSError when nobody listens."""
        body = json.dumps(event)
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": webhook_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(webhook_id, now, body),
        }
        if self._connection is None:
            self._connection = http.client.HTTPConnection(*self._address, timeout=10)
        try:
            self._connection.request("POST", f"/webhook/{source}", body, headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return response.status, answer, {name.lower(): value for name, value in response.getheaders()}

    def post_until_taken(
        self, webhook_id: str, event: dict[str, Any], within_s: float = 30.0
    ) -> dict[str, Any]:
        """Posts again, under the same id, until it is answered 202."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            try:
                status, answer, _ = self.post(webhook_id, event)
            except (OSError, http.client.HTTPException):
                threading.Event().wait(0.02)
                continue
            if status == 202:
                return answer
            assert status == 503, answer
            threading.Event().wait(0.02)
        raise AssertionError(f"{webhook_id} was not taken within {within_s} s")

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Running:
    """A supervised pipeline, turned by a thread until the block ends."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.lines: list[str] = []
        self.supervisor = Supervisor(config, report=self.lines.append)
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._turn, daemon=True)

    def __enter__(self) -> Self:
        self.supervisor.start()
        try:
            self.supervisor.wait_ready(60)
        except BaseException:
            self.supervisor.stop()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        self._thread.join(10)
        self.supervisor.stop()

    def pid(self, name: str) -> int | None:
        return next((process.pid for process in self.supervisor.processes() if process.name == name), None)

    def kill(self, name: str) -> None:
        """SIGKILL to one of this pipeline's own workers; the supervisor starts it again."""
        pid = self.pid(name)
        assert pid is not None, f"{name} does not run"
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.pid(name) not in {pid, None}, f"{name} to be started again")

    def _turn(self) -> None:
        while not self._leave.wait(0.02):
            self.supervisor.poll()


def wait_for(fact: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
    """Polls until `fact()` holds."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if fact():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"waited {within_s} s for {what}")
