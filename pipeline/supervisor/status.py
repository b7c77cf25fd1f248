"""What a running pipeline says about itself in its data folder, and whether it runs at all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.config import Config
from pipeline.supervisor.roster import endpoint_of
from pipeline.supervisor.slot import Slot

SCHEMA_VERSION = 1


class ProcessStatus(Struct, frozen=True, kw_only=True):
    """One worker; `pid` 0 while it waits for its restart."""

    name: str
    stage: str
    ordinal: int
    pid: int
    ready: bool
    restarts: int
    endpoint: str
    leaving: bool = False
    """It was told to go and finishes what it has in hand."""


class Status(Struct, frozen=True, kw_only=True):
    """One running pipeline. Versioned: a field is only ever added, with a default."""

    schema: int = SCHEMA_VERSION
    pid: int
    """The supervisor's."""
    started_us: int
    """Wall clock, microseconds."""
    data_dir: str
    config_file: str
    """The configuration in force, resolved: what every worker reads."""
    endpoints: dict[str, str]
    processes: tuple[ProcessStatus, ...]


def run_folder(data_dir: str) -> Path:
    """Where a running pipeline keeps its lock, its status and its resolved configuration."""
    return Path(data_dir) / "run"


def status_of(config: Config, slots: Sequence[Slot], started_us: int) -> Status:
    """What the supervisor with these workers says about itself."""
    data_dir = config.data_dir
    where = {slot.worker.name: endpoint_of(config, slot.worker) for slot in reversed(slots)}
    return Status(
        pid=os.getpid(),
        started_us=started_us,
        data_dir=str(Path(data_dir).resolve()),
        config_file=str((run_folder(data_dir) / "config.json").resolve()),
        endpoints=where,
        processes=tuple(
            ProcessStatus(
                name=slot.worker.name,
                stage=slot.worker.stage,
                ordinal=slot.worker.ordinal,
                pid=slot.child.pid if slot.child else 0,
                ready=slot.ready,
                restarts=slot.restarts,
                endpoint=where[slot.worker.name],
                leaving=slot.leaving,
            )
            for slot in slots
        ),
    )


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replaces `path` in one step: a reader sees the old content or the new, never a part.

    Not synced: after a crash of the machine nothing runs that these files could describe.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(fd, "wb") as file:
        file.write(data)
    beside.replace(path)


def write_status(data_dir: str, status: Status) -> None:
    text = msgspec.json.format(msgspec.json.encode(status), indent=2)
    write_atomically(run_folder(data_dir) / "status.json", text + b"\n")


def read_status(data_dir: str) -> Status | None:
    """The status of the pipeline that runs in `data_dir`; None when none does."""
    if not is_running(data_dir):
        return None
    try:
        return msgspec.json.decode((run_folder(data_dir) / "status.json").read_bytes(), type=Status)
    except (
        OSError,
        msgspec.DecodeError,
        UnicodeDecodeError,
    ):  # it has the lock and has not written yet, or is leaving
        return None


def is_running(data_dir: str) -> bool:
    """Whether anything of a pipeline still runs in `data_dir`: it, or a worker that outlasts it, holds
    the lock."""
    try:
        fd = os.open(run_folder(data_dir) / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # A shared lock of our own, held for no time: it can make nobody's start fail but at this instant.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
