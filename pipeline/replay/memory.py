"""The memory of processes, as Linux's /proc has it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.limits import KIB
from pipeline.replay.report import ProcessMemory


def measured_memory(processes: Iterable[tuple[str, int]]) -> tuple[ProcessMemory, ...]:
    """PSS and RSS of each (name, pid) that still runs."""
    return tuple(found for name, pid in processes if (found := _process_memory(name, pid)) is not None)


def _process_memory(name: str, pid: int) -> ProcessMemory | None:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has ended, or belongs to somebody else
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
    return ProcessMemory(name=name, pid=pid, pss_bytes=_bytes(fields, "Pss"), rss_bytes=_bytes(fields, "Rss"))


def _bytes(fields: dict[str, str], name: str) -> int:
    return int(fields.get(name, "0 kB").split()[0]) * KIB
