"""How many workers a stage is to have while it runs, and what became of those that were added."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.clock import NS_PER_MS
from pipeline.supervisor.roster import START_ORDER, Worker
from pipeline.supervisor.slot import Slot


class StageStaff(NamedTuple):
    """One stage now. Times in ms."""

    workers: int
    """Asked for."""
    ready: int
    starting_ms: tuple[int, ...]
    """How long those that are not ready have been starting."""
    leaving: int
    started_ms: tuple[int, ...]
    """How long those took that became ready since the last look."""
    fault: str
    """Why one that was asked for cannot be had; empty: none was refused."""


class Staffing:
    """What is wanted of each stage, and the start times seen. Pure: whoever forks does so elsewhere."""

    def __init__(self) -> None:
        self._wanted: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        self._started_ms: dict[str, list[int]] = {}

    def want(self, stage: str, workers: int) -> None:
        """`workers` of `stage` from now on."""
        self._wanted[stage] = workers

    def surplus(self, slots: Iterable[Slot]) -> list[Slot]:
        """Those that are to be told to go: always the highest ordinals."""
        return [
            slot
            for slot in slots
            if not slot.leaving and slot.worker.ordinal >= self._wanted.get(slot.worker.stage, 1 << 30)
        ]

    def missing(self, slots: Iterable[Slot]) -> list[Worker]:
        """Those that are to be started. The place of one that still leaves, and its port, is not free."""
        taken = {slot.worker for slot in slots}
        wanted = (Worker(stage, ordinal) for stage, count in self._wanted.items() for ordinal in range(count))
        return [worker for worker in wanted if worker not in taken]

    def give_up(self, worker: Worker, why: str) -> None:
        """It does not start: the stage stays with those below it, and says why."""
        self._wanted[worker.stage] = min(self._wanted[worker.stage], worker.ordinal)
        self._faults[worker.stage] = why

    def became_ready(self, slot: Slot, now_ns: int) -> None:
        """One that is started again says nothing about starting."""
        if slot.child is not None and not slot.restarts:
            took_ms = (now_ns - slot.child.started_ns) // NS_PER_MS
            self._started_ms.setdefault(slot.worker.stage, []).append(took_ms)

    def look(self, stage: str, slots: Sequence[Slot], now_ns: int) -> StageStaff:
        """The stage now; start times are told once."""
        own = [slot for slot in slots if slot.worker.stage == stage]
        staying = [slot for slot in own if not slot.leaving]
        starting = [slot.child for slot in staying if not slot.ready]
        return StageStaff(
            workers=self._wanted.get(stage, len(staying)),
            ready=len(staying) - len(starting),
            starting_ms=tuple(
                0 if child is None else (now_ns - child.started_ns) // NS_PER_MS for child in starting
            ),
            leaving=len(own) - len(staying),
            started_ms=tuple(self._started_ms.pop(stage, ())),
            fault=self._faults.get(stage, ""),
        )


def in_order(slots: Iterable[Slot]) -> list[Slot]:
    """In order of start."""
    return sorted(slots, key=lambda slot: (START_ORDER.index(slot.worker.stage), slot.worker.ordinal))


def listed(slots: Iterable[Slot]) -> dict[str, list[int]]:
    """Ordinals by stage that others may connect to: all that are not leaving."""
    found: dict[str, list[int]] = {}
    for slot in slots:
        if slot.worker.stage in ("agent", "exec", "audit") and not slot.leaving:
            found.setdefault(slot.worker.stage, []).append(slot.worker.ordinal)
    return found
