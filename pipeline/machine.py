"""What a figure was measured on: the machine and the versions that speed depends on."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib import metadata
from pathlib import Path

from msgspec import Struct

from pipeline import __version__

_NAMED = ("httptools", "msgspec", "numpy", "pyzmq", "uvicorn", "uvloop")


class Machine(Struct, frozen=True, kw_only=True):
    """Where it ran; figures of different machines do not compare."""

    system: str
    cpu: str
    cpus: int
    memory_bytes: int


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


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())
