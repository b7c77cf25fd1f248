"""What a figure was measured on: the machine, the versions, the memory of processes (Linux's /proc)."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from pipeline import __version__
from pipeline.limits import KIB
from pipeline.replay.report import Machine, ProcessMemory

_NAMED = ("httptools", "msgspec", "numpy", "pyzmq", "uvicorn", "uvloop")


def machine() -> Machine:
    """This machine; the processors are those that this process may use."""
    return Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_name(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )


def versions() -> dict[str, str]:
    """Ringline, Python, SQLite and the packages that its speed depends on."""
    found = {"ringline": __version__, "python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in _NAMED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


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


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
