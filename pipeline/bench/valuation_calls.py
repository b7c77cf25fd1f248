"""Calls of the valuation, one after the other, off and on in turn, while its marks move and its loops run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from pipeline.bench.idle import cpu_ns
from pipeline.bench.valuation_server import DOMAINS, Client, Market, Server
from pipeline.clock import NS_PER_MS
from pipeline.errors import MissingError
from pipeline.limits import MIB
from pipeline.performance.resources import NO_PSUTIL, load_psutil

WARM_UP = 20


class Phase(NamedTuple):
    """Calls of one kind: milliseconds each, the service's processor time each, its memory afterwards."""

    calls_ms: list[float]
    cpu_ms: list[float]
    memory_mb: float | None
    bytes: int

    @property
    def cpu_percent(self) -> float:
        """Of one processor, while a call was under way."""
        return 100 * sum(self.cpu_ms) / sum(self.calls_ms)


def body(ensemble: bool, domains: Iterable[str] = DOMAINS) -> bytes:
    """A batch of `domains` with all their positions."""
    return msgspec.json.encode({"domains": list(domains), "ensemble": ensemble})


def interleaved(
    server: Server, client: Client, market: Market, count: int, say: Callable[[str], None]
) -> tuple[Phase, Phase]:
    """`count` calls off and on each, in pairs of changing order; marks move before every pair.

    Raises MissingError for an answer other than 200.
    """
    bodies = {ensemble: body(ensemble) for ensemble in (False, True)}
    taken: dict[bool, Phase] = {one: Phase([], [], None, 0) for one in bodies}
    for number in range(WARM_UP):
        market.move()
        once(client, bodies[number % 2 == 0])
    say(
        f"{count} calls with the ensemble off and {count} with it on, in turn; {market.share} marks move "
        "before each pair"
    )
    for number in range(count):
        market.move()  # once a pair: both calls find the same marks changed since their last one
        for ensemble in (False, True) if number % 2 else (True, False):
            before_ns = cpu_ns(server.pid)
            took_ms, content = once(client, bodies[ensemble])
            phase = taken[ensemble]
            phase.calls_ms.append(took_ms)
            phase.cpu_ms.append((cpu_ns(server.pid) - before_ns) / NS_PER_MS)
            taken[ensemble] = phase._replace(bytes=len(content))
    memory = memory_mb(server.pid)
    off, on = (taken[one]._replace(memory_mb=memory) for one in (False, True))
    return off, on


def once(client: Client, posted: bytes) -> tuple[float, bytes]:
    """Milliseconds and the answer. Raises MissingError."""
    started_ns = time.perf_counter_ns()
    status, content = client.ask("POST", "/v1/valuations", posted)
    took_ms = (time.perf_counter_ns() - started_ns) / NS_PER_MS
    if status != 200:
        raise MissingError(f"POST /v1/valuations: {status}: {content[:300].decode('utf-8', 'replace')}")
    return took_ms, content


def memory_mb(pid: int, psutil: Any = ...) -> float | None:
    """Resident memory of a process in MiB by psutil; None without it."""
    module = load_psutil() if psutil is ... else psutil
    return None if module is None else module.Process(pid).memory_info().rss / MIB


def nearest_rank(figures: Iterable[float], percent: float) -> float:
    """The smallest that at least `percent` of them do not exceed."""
    ordered = sorted(figures)
    return ordered[max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1)]


__all__ = [
    "NO_PSUTIL", "Phase", "body", "interleaved", "memory_mb", "nearest_rank", "once",
]  # fmt: skip
