"""The shape that every bench of the product prints, for the operator's figures. A test holds it to the
other."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import msgspec
from msgspec import Struct

import pipeline

_NAMED = ("msgspec", "numpy")


class Machine(Struct, frozen=True, kw_only=True):
    """Where it ran; figures of different machines do not compare."""

    system: str
    cpu: str
    cpus: int
    memory_bytes: int


class Result(Struct, frozen=True, kw_only=True):
    """One figure. `against` names the limit or peer that `ratio` (value by it) is to; `target` is what is
    asked for and `met` whether it is reached, both None for a figure that is only shown."""

    name: str
    value: float | None
    """None: it was not measured; `against` says why."""
    unit: str
    against: str
    ratio: float | None = None
    target: float | None = None
    met: bool | None = None


class Bench(Struct, frozen=True, kw_only=True):
    """All figures, with what they were measured on."""

    machine: Machine
    versions: dict[str, str]
    results: tuple[Result, ...]

    @property
    def met(self) -> bool:
        return all(result.met is not False for result in self.results)


def at_most(name: str, value: float, unit: str, target: float, against: str, peer: float) -> Result:
    return Result(
        name=name,
        value=_rounded(value),
        unit=unit,
        against=against,
        ratio=_rounded(value / peer),
        target=target,
        met=value <= target,
    )


def shown(name: str, value: float, unit: str, against: str, peer: float) -> Result:
    """A figure without a target."""
    return Result(name=name, value=_rounded(value), unit=unit, against=against, ratio=_rounded(value / peer))


def skipped(name: str, unit: str, why: str) -> Result:
    """A figure that could not be measured here, and why; its target is neither met nor missed."""
    return Result(name=name, value=None, unit=unit, against=f"skipped: {why}")


def bench_of(results: tuple[Result, ...]) -> Bench:
    """With this machine and the versions that speed depends on."""
    machine = Machine(
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        cpu=_cpu_name(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )
    versions = {"ringline": pipeline.__version__, "python": platform.python_version()}
    return Bench(
        machine=machine,
        versions=versions | {name: metadata.version(name) for name in _NAMED},
        results=results,
    )


def encode_bench(bench: Bench) -> bytes:
    """Indented JSON."""
    return msgspec.json.format(msgspec.json.encode(bench), indent=2)


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.partition(":")[2].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _rounded(value: float) -> float:
    """Four significant digits: more are noise."""
    return float(f"{value:.4g}")
