"""What a process's readings say: its CPU, its memory, and whether that grows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from loadtests.facts import ProcessFacts
from loadtests.samples import Reading
from loadtests.settings import Gates
from loadtests.slope import theil_sen


def process_facts(name: str, readings: Sequence[Reading], gates: Gates, restarts: int = 0) -> ProcessFacts:
    """Judged is the last incarnation alone: a restart sets memory back."""
    last = [reading for reading in readings if reading.pid == readings[-1].pid] if readings else []
    memory = [(reading.at_s, reading.memory_bytes) for reading in last if reading.memory_bytes is not None]
    warm = [point for point in memory if point[0] >= memory[0][0] + gates.leak_warm_up_s] if memory else []
    cpu = cpu_percents(readings)
    return ProcessFacts(
        name=name,
        cpu_mean_percent=sum(cpu) / len(cpu) if cpu else None,
        cpu_peak_percent=max(cpu, default=None),
        memory_first_bytes=memory[0][1] if memory else None,
        memory_peak_bytes=max((value for _, value in memory), default=None),
        slope=theil_sen([at_s for at_s, _ in warm], [float(value) for _, value in warm]),
        judged_s=warm[-1][0] - warm[0][0] if warm else 0.0,
        restarts=restarts,
    )


def cpu_percents(readings: Sequence[Reading]) -> list[float]:
    """Of one processor, between two readings of one incarnation, or as the process itself said."""
    said = [reading.cpu_percent for reading in readings if reading.cpu_percent is not None]
    if said:
        return said
    return [
        100 * (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s)
        for before, after in pairwise(readings)
        if before.cpu_s is not None
        and after.cpu_s is not None
        and after.pid == before.pid
        and after.at_s > before.at_s
    ]
