"""A `performance.manager.Manager` on a pipeline that runs: signals go in at its gateway, their audit rows and
its collector's snapshots say what became of them.

Where the audit cannot be read from here (another machine), a trade is followed to its 202 only, and what was
decided is not known.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from pipeline import limits
from pipeline.clock import NS_PER_MS, US_PER_S, Clock, SystemClock
from pipeline.config import Config
from pipeline.connection import FAILURES, connect, local_address, no_answer
from pipeline.delivery import Delivery
from pipeline.errors import MissingError, RinglineError, UsageError
from pipeline.messages import decode_decision
from pipeline.performance.manager import Call, Submission, Trade
from pipeline.performance.resources import Resources
from pipeline.replay.client import brief
from pipeline.replay.running import sender_secret
from pipeline.signing import Secret, parse_secret, signed_headers
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.stages.agent_state import StateReader
from pipeline.stages.inprocess import trade_signal
from pipeline.stages.throttled import Denial, denial_of, throttle_settings
from pipeline.storage.audit import AuditReader
from pipeline.trading.cores import reading_logic

ANSWER_S = 30.0
"""As long as Standard Webhooks lets a sender wait."""
ROW_S = 30.0
"""An accepted event without a row after that means that the pipeline behind the gateway stands still."""
LOOK_S = 0.0005
"""The audit is asked this often: the error of `processing_ms`."""
SETTLED = "signal posted to its audit row read, over HTTP"
ACCEPTED = "signal posted to its 202, over HTTP"
NO_AUDIT = "the audit cannot be read from here: decisions and throttle scopes are unknown"


class Endpoint:
    """One HTTP server, asked over one connection. Raises MissingError when it does not answer."""

    def __init__(self, url: str) -> None:
        self._connection, parts = connect(url, ANSWER_S)
        self.url = url.rstrip("/")
        self._base = parts.path.rstrip("/")

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body."""
        try:
            self._connection.request(method, self._base + path, body, headers or {})
            response = self._connection.getresponse()
            return response.status, response.read()
        except FAILURES as error:
            self.close()
            raise MissingError(no_answer(f"{method} {self.url}{path}", error)) from None

    def close(self) -> None:
        """Idempotent; it connects again when asked again."""
        self._connection.close()


class Audit:
    """The audit of a pipeline on this machine. Raises MissingError when there is none to read."""

    def __init__(self, config: Config) -> None:
        self._reader = AuditReader.open(Path(config.data_dir) / "audit.sqlite")
        self._logic = reading_logic(config.trading, config.exec)
        self._states = StateReader(self._logic, config.audit.state_every)

    def await_row(self, event_id: bytes, sleep: Callable[[float], object] = time.sleep) -> Delivery:
        """The event's row, once it is there. Raises RinglineError when it does not come."""
        deadline_s = time.monotonic() + ROW_S
        while not (rows := self._reader.by_event_id(event_id)):
            if time.monotonic() > deadline_s:
                raise RinglineError(f"event {event_id.hex()}: accepted, and no audit row after {ROW_S:g} s")
            sleep(LOOK_S)
        return rows[0].delivery

    def throttle_scopes(self, key: str) -> list[dict[str, Any]]:
        """The payloads of `key`, from its last stored state and the rows since.

        Raises UsageError when the pipeline decides under another configuration than this one.
        """
        return self._logic.throttle_scopes(self._states.read(self._reader, key))

    def close(self) -> None:
        self._reader.close()


class LiveManager:
    """One sender of `config`'s first source. A context manager: leaving it closes the position that its
    trades opened and all connections.

    `gateway_url` and `collector_url` replace the configured addresses.
    """

    name = "live"

    def __init__(
        self,
        config: Config,
        trade: Trade | None = None,
        *,
        gateway_url: str | None = None,
        collector_url: str | None = None,
        clock: Clock | None = None,
    ) -> None:
        trade = trade or Trade()
        self.symbol = trade.symbol
        self.strategy_id = trade.strategy_id
        self.trade_throttle = throttle_settings(config.trading.throttles, trade)
        self._clock = clock or SystemClock()
        self._source = next(iter(config.sources))
        self._secret = _secret(config, self._source)
        signal = trade_signal(trade)
        closing = msgspec.structs.replace(signal, side="close", quantity=None)
        self._body, self._close_body = msgspec.json.encode(signal), msgspec.json.encode(closing)
        self._gateway = Endpoint(gateway_url or configured_url(config.gateway.host, config.gateway.port))
        self._collector = Endpoint(
            collector_url or configured_url(config.telemetry.host, config.telemetry.port)
        )
        self._audit = _audit(config)
        self._run = uuid.uuid4().hex
        self._trades = 0
        self._snapshot()

    def __enter__(self) -> LiveManager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._trades:
                self._post("close", self._close_body)
        except RinglineError:
            if error is None:  # else it failed already, and that is the news
                raise
        finally:
            self.close()

    @property
    def measures(self) -> str:
        return ACCEPTED if self._audit is None else SETTLED

    def submit(self, due_ns: int) -> Submission:
        """See `Manager.submit`. The lag is the worst stage's, and at least how late the trade was sent."""
        self._trades += 1
        started_ns = self._clock.monotonic_ns()
        event_id = self._post(f"{self._trades}", self._body)
        denial: Denial | None = None
        if self._audit is not None:
            denial = denial_of(decode_decision(self._audit.await_row(event_id).decision))
        ended_ns = self._clock.monotonic_ns()
        stages = self._snapshot().stages
        late_ms = max(started_ns - due_ns, 0) / NS_PER_MS
        return Submission(
            processing_ms=(ended_ns - started_ns) / NS_PER_MS,
            lag_ms=max([late_ms, *(stage.lag_ms for stage in stages if stage.lag_ms is not None)]),
            ordered=None if denial is None else denial.ordered,
            reasons=() if denial is None else denial.reasons,
            throttle_state="unknown" if denial is None else denial.state,
            throttle_message=NO_AUDIT if denial is None else denial.message,
            retry_at=None if denial is None else denial.retry_at,
        )

    def get_trade_throttle_scope_snapshots(self) -> list[dict[str, Any]]:
        """Empty where the audit cannot be read."""
        return [] if self._audit is None else self._audit.throttle_scopes(self.symbol)

    def resources(self) -> Resources:
        """The busiest worker's CPU, the memory of all, as they report it themselves."""
        replicas = self._snapshot().replicas
        cpu = [item.cpu_percent for item in replicas if item.cpu_percent is not None]
        memory = [item.memory_bytes for item in replicas if item.memory_bytes is not None]
        return Resources(
            cpu_percent=max(cpu, default=None),
            memory_mb=sum(memory) / limits.MIB if memory else None,
            source=f"collector {self._collector.url}",
            note="memory_percent is unknown: workers do not tell how much their machines have",
        )

    def calls(self, count: int) -> Sequence[Call]:  # noqa: ARG002 - the protocol's
        """None: all that a running pipeline can be timed with are trades."""
        return ()

    def close(self) -> None:
        """Idempotent."""
        self._gateway.close()
        self._collector.close()
        if self._audit is not None:
            self._audit.close()

    def _post(self, name: str, body: bytes) -> bytes:
        """The event_id of what was accepted. Raises RinglineError with the gateway's words otherwise."""
        webhook_id = f"baseline-{self._run}-{name}"
        headers = {"content-type": "application/json"} | signed_headers(
            self._secret, webhook_id, self._clock.wall_us() // US_PER_S, body
        )
        status, answer = self._gateway.ask("POST", f"/webhook/{self._source}", body, headers)
        if status != 202:
            said = brief(answer.decode("utf-8", "replace"))
            raise RinglineError(f"the gateway {self._gateway.url} answered {status} to {webhook_id}: {said}")
        try:
            return bytes.fromhex(msgspec.json.decode(answer)["event_id"])
        except (ValueError, KeyError, TypeError):
            raise RinglineError(f"the gateway {self._gateway.url}: a 202 without an event_id") from None

    def _snapshot(self) -> Snapshot:
        found = snapshot_at(self._collector)
        if found is None:
            raise MissingError(f"{self._collector.url}: no collector answers there")
        return found


def snapshot_at(endpoint: Endpoint) -> Snapshot | None:
    """What the collector at `endpoint` knows; None when something else answers there."""
    status, body = endpoint.ask("GET", "/v1/snapshot")
    # On a connection that is kept, a small answer in two parts waits 40 ms for a delayed acknowledgement.
    endpoint.close()
    try:
        return decode_snapshot(body) if status == 200 else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def configured_url(host: str, port: int) -> str:
    """Where a server that listens on `host` is reached from this machine."""
    return f"http://{local_address(host)}:{port}"


def _audit(config: Config) -> Audit | None:
    try:
        return Audit(config)
    except MissingError:
        return None


def _secret(config: Config, source: str) -> Secret:
    text = sender_secret(config, source)
    try:
        return parse_secret(text, source)
    except ValueError as error:
        raise UsageError(f"sources.{source}: {error}") from None
