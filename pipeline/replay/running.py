"""A pipeline that runs under this process, and what can be asked of it from outside its workers."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.process import StopFlag
from pipeline.replay.audit_view import AuditView
from pipeline.replay.memory import measured_memory
from pipeline.replay.report import ProcessMemory
from pipeline.replay.spec import Task
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.supervisor import Supervisor
from pipeline.telemetry import telemetry_directory

READY_LOOK_S = 0.05
SNAPSHOT_TIMEOUT_S = 0.5
"""A collector answers in milliseconds; one that does not is left out of the picture, not waited for."""
LAST_SNAPSHOT_S = 1.5
"""Records that have not arrived by then died with their worker."""


class Running:
    """One pipeline from its start to its end. A context manager: leaving it stops everything."""

    def __init__(self, config: Config, say: Callable[[str], None]) -> None:
        self.config = config
        self.supervisor = Supervisor(config, report=say)
        self.audit = AuditView(config)
        self._highest: tuple[ProcessMemory, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, stop: StopFlag) -> bool:
        """Starts everything and waits until it is ready; False when asked to stop before that.

        Raises SupervisorError (a MissingError) when a worker cannot start.
        """
        self.supervisor.start()
        while not self.supervisor.ready:
            self.supervisor.poll()
            if stop.wait(READY_LOOK_S):
                return False
        return True

    def poll(self) -> None:
        """Looks after the workers; call it often. Raises SupervisorError when one is lost for good."""
        self.supervisor.poll()

    def stop(self) -> None:
        """Drains and ends every worker, and takes the rings out of shared memory: a fresh data folder has a
        fresh folder there, which nobody would look into again. Idempotent.
        """
        self.audit.close()
        self.supervisor.stop()
        if not self.config.telemetry.directory:
            shutil.rmtree(telemetry_directory(self.config), ignore_errors=True)

    def audited(self) -> int:
        """Rows in the audit now."""
        return self.audit.length()

    def snapshot(self) -> Snapshot | None:
        """What the collector knows; None when it does not answer (it may be restarting)."""
        telemetry = self.config.telemetry
        connection = http.client.HTTPConnection(telemetry.host, telemetry.port, timeout=SNAPSHOT_TIMEOUT_S)
        with contextlib.closing(connection):
            try:
                connection.request("GET", "/v1/snapshot")
                return decode_snapshot(connection.getresponse().read())
            except (OSError, http.client.HTTPException, msgspec.MsgspecError):
                return None

    def last_snapshot(self, settled: int) -> Snapshot | None:
        """A snapshot in which `settled` events have arrived; the latest, if some never do.

        Workers' records reach the collector a tenth of a second later.
        """
        deadline_s = time.monotonic() + LAST_SNAPSHOT_S
        while True:
            snapshot = self.snapshot()
            if snapshot is not None:
                counts = (found.count for found in snapshot.totals if found.event == "END_TO_END")
                if sum(counts) >= settled:
                    return snapshot
            if time.monotonic() > deadline_s:
                return snapshot
            time.sleep(READY_LOOK_S)

    def measure_memory(self, *others: tuple[str, int]) -> tuple[ProcessMemory, ...]:
        """Every process's memory now, this one's and `others`' (name, pid) included."""
        workers = [(process.name, process.pid) for process in self.supervisor.processes()]
        found = measured_memory([*workers, *others, ("supervisor", os.getpid())])
        if pss_bytes(found) > pss_bytes(self._highest):
            self._highest = found
        return found

    @property
    def highest_memory(self) -> tuple[ProcessMemory, ...]:
        """Of all measurements, the one with the highest sum."""
        return self._highest

    def task(self, run_id: str) -> Task:
        """A task for this pipeline's first source, signed with that source's first secret."""
        source = next(iter(self.config.sources))
        gateway = self.config.gateway
        return Task(
            host="127.0.0.1" if gateway.host in ("0.0.0.0", "::", "") else gateway.host,  # noqa: S104
            port=gateway.port,
            source=source,
            secret=sender_secret(self.config, source),
            run_id=run_id,
        )


def pss_bytes(memory: tuple[ProcessMemory, ...]) -> int:
    return sum(item.pss_bytes for item in memory)


def sender_secret(config: Config, source_name: str) -> str:
    """The secret's text that a sender of ours uses: the first file's, else the first variable's, else the
    one that the gateway has generated.

    Raises MissingError when it is not there.
    """
    source = config.sources[source_name]
    if source.secret_env and not source.secret_files:
        name = source.secret_env[0]
        try:
            return os.environ[name].strip()
        except KeyError:
            raise MissingError(f"sources.{source_name}: environment variable {name} is not set") from None
    generated = Path(config.data_dir) / "secrets" / f"{source_name}.whsec"
    file = Path(source.secret_files[0]) if source.secret_files else generated
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"sources.{source_name}: secret file {file} cannot be read: {error}") from None
