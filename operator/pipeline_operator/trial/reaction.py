"""How long from a breach in a collector to the patched `/scale`: measured from outside the operator.

The operator runs in a process of its own, as in its container. The clock starts when a fake collector has the
breach to tell and stops when the API server tells of other replicas in a watch of our own.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import MissingError
from pipeline_operator.collectors.fake import FakeCollector, told_stage, told_worker
from pipeline_operator.kube import paths
from pipeline_operator.kube.access import Access
from pipeline_operator.trial.stand import Stand, a_stand, replicas_by_set, until

LAG_LIMIT_MS = 500
SINGLES = 20
TOGETHER = 50


@dataclass(frozen=True)
class ReactionFigures:
    """Times in seconds, ascending; memory in MiB with all Pipelines watched."""

    singles_s: tuple[float, ...]
    """One Pipeline breached at a time."""
    together_s: tuple[float, ...]
    """All breached at the same moment."""
    rss_mib: float


class _Pair:
    """A Pipeline of two stages with a collector each."""

    def __init__(self, stand: Stand, name: str) -> None:
        self.name = name
        self.target = f"{name}-ag"
        self._stand = stand
        self._gateway: FakeCollector
        self._agent: FakeCollector

    async def begin(self) -> None:
        [self._gateway] = await self._stand.running(f"{self.name}-gw")
        [self._agent] = await self._stand.running(self.target)
        self.tell(lag_ms=5)
        gateway = {"name": "gateway", "target": f"{self.name}-gw"}
        agent = {
            "name": "agent",
            "target": self.target,
            "upstream": ["gateway"],
            "maxReplicas": 4,
            "slas": {"lagMs": LAG_LIMIT_MS},
        }
        await self._stand.create_pipeline(self.name, [gateway, agent])

    def tell(self, *, lag_ms: float) -> None:
        self._gateway.tell(
            stages=[told_stage("gateway", handled=200)],
            replicas=[told_worker("gateway", 0, handled=200), told_worker("agent", 0, lag_ms=lag_ms)],
        )
        self._agent.tell(
            stages=[told_stage("agent", handled=200)], replicas=[told_worker("agent", 0, handled=200)]
        )

    async def reaction_s(self, raised_at: dict[str, float]) -> float:
        """Breach it, and wait for the patch; `raised_at` is when each target was first seen raised."""
        self.tell(lag_ms=LAG_LIMIT_MS * 4)
        begun = time.monotonic()

        async def raised() -> bool:
            return self.target in raised_at

        await until(raised, f"replicas of {self.target}")
        return raised_at[self.target] - begun


async def measure_reaction(
    access: Access, *, singles: int = SINGLES, together: int = TOGETHER
) -> ReactionFigures:
    """Takes about a minute. Raises MissingError when the operator does not come up."""
    async with a_stand(access, "bench", overwrite_crd=False) as stand:
        pairs = [_Pair(stand, f"p{number:03}") for number in range(singles + together)]
        for start in range(0, len(pairs), 10):
            await asyncio.gather(*(pair.begin() for pair in pairs[start : start + 10]))
        async with _an_operator(stand.namespace) as pid:
            await until(lambda: _all_decided(stand, len(pairs)), "every Pipeline to be decided on")
            raised_at: dict[str, float] = {}
            looking = asyncio.create_task(_note_raises(stand, raised_at))
            one_by_one = [await pair.reaction_s(raised_at) for pair in pairs[:singles]]
            at_once = await asyncio.gather(*(pair.reaction_s(raised_at) for pair in pairs[singles:]))
            rss_mib = _rss_mib(pid)
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
    return ReactionFigures(tuple(sorted(one_by_one)), tuple(sorted(at_once)), rss_mib)


def p95(ascending: Sequence[float]) -> float:
    """Nearest rank."""
    return ascending[max(0, -(-len(ascending) * 95 // 100) - 1)]


async def _note_raises(stand: Stand, raised_at: dict[str, float]) -> None:
    async for target, replicas in replicas_by_set(stand.access, stand.namespace):
        if replicas > 1:
            raised_at.setdefault(target, time.monotonic())


async def _all_decided(stand: Stand, count: int) -> bool:
    listed: Any = await stand.api.get(paths.pipelines(stand.namespace))
    heard = [one for one in listed["items"] if (one.get("status") or {}).get("worstSla")]
    return len(heard) == count


@contextlib.asynccontextmanager
async def _an_operator(namespace: str) -> AsyncIterator[int]:
    """`ringline-operator run` in a process of its own; gives its pid."""
    code = "from pipeline_operator.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, "run", "--namespaces", namespace, "--port", "0", "--records", "",
        "--log-level", "warning",
    )  # fmt: skip
    try:
        yield process.pid
        if process.returncode is not None:
            raise MissingError(f"the operator ended with {process.returncode} while it was measured")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def _rss_mib(pid: int) -> float:
    """Resident memory of a process (proc(5), VmRSS)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0
