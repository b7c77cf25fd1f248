"""Sliding windows over slots of time: a new slot is added, an old one subtracted, nothing is recounted.

A window of n slots at slot k covers the slots k − n + 1 … k: between (n − 1) and n slot lengths. Late
entries go into the slot they belong to, as long as it is still inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from pipeline.clock import NS_PER_S
from pipeline.telemetry.sketch import Ints

SLOT_NS = NS_PER_S // 10
"""The finest slot: windows move in steps of a tenth of a second."""
FINE_SLOTS = 60
"""A window of more slots than this takes longer ones (whole multiples), so that memory stays bounded."""
MERGE_ABOVE = 12
"""Chunks of one slot are merged when there are more: a slot costs what it holds, not how it came. Above the
10 that a slot of a second gets from a collector that drains once a step."""
NO_MINIMUM = np.iinfo(np.int64).max
NO_MAXIMUM = -1

Indices = npt.NDArray[np.intp]


def slots_of(window_ns: int) -> tuple[int, int]:
    """(slot length in ns, number of slots) of a window. Raises ValueError when it is below one slot."""
    if window_ns < SLOT_NS:
        raise ValueError(f"a window of {window_ns} ns: at least {SLOT_NS} ns")
    step = -(-window_ns // (SLOT_NS * FINE_SLOTS)) if window_ns > SLOT_NS * FINE_SLOTS else 1
    slot_ns = SLOT_NS * step
    return slot_ns, -(-window_ns // slot_ns)


class SlidingSum:
    """Sums at many indices over the last slots."""

    __slots__ = ("_newest", "_slot_ns", "_slots", "_slots_kept", "running")

    def __init__(self, size: int, window_ns: int) -> None:
        self._slot_ns, self._slots_kept = slots_of(window_ns)
        self._slots: dict[int, list[tuple[Indices, Ints]]] = {}
        self._newest = 0
        self.running: Ints = np.zeros(size, dtype=np.int64)
        """The sum of every index over the window."""

    def advance(self, now_ns: int) -> None:
        """Let time pass; it never falls back."""
        newest = now_ns // self._slot_ns
        if newest <= self._newest:
            return
        expired = expired_slots(self._slots, self._newest - self._slots_kept, newest - self._slots_kept)
        self._newest = newest
        for slot in expired:
            for indices, amounts in self._slots.pop(slot):
                np.subtract.at(self.running, indices, amounts)

    def over(self, window_ns: int) -> Ints:
        """The sum of every index over a shorter window, in slots of this one; added up when asked."""
        oldest = self._newest - max(1, -(-window_ns // self._slot_ns))
        total: Ints = np.zeros(len(self.running), dtype=np.int64)
        for slot, chunks in self._slots.items():
            if slot > oldest:
                for indices, amounts in chunks:
                    np.add.at(total, indices, amounts)
        return total

    def add(self, at_ns: int, indices: Indices, amounts: Ints) -> None:
        """Add `amounts` at `indices` to the slot of `at_ns`; the future counts as now. Both are kept."""
        slot = min(at_ns // self._slot_ns, self._newest)
        if slot <= self._newest - self._slots_kept:
            return
        np.add.at(self.running, indices, amounts)  # an eighth of the price of `running[indices] += `
        chunks = self._slots.setdefault(slot, [])
        chunks.append((indices, amounts))
        if len(chunks) > MERGE_ABOVE:
            chunks[:] = [merged(chunks)]

    def take_over(self, other: SlidingSum) -> None:
        """Add what another one has, up to the same instant; where its slots are longer, what is in one counts
        until the slot's end is too old."""
        for slot, chunks in other._slots.items():
            for indices, amounts in chunks:
                self.add((slot + 1) * other._slot_ns - 1, indices, amounts)

    def move(self, moved: Indices, into: Indices) -> None:
        """Add the sums at `moved` to those where `into`, by index, says; they are 0 then."""
        move(self.running, moved, into)
        for chunks in self._slots.values():
            chunks[:] = [(into.take(indices), amounts) for indices, amounts in chunks]


class SlidingExtremes:
    """The least and the greatest at many indices over the last slots."""

    __slots__ = ("_newest", "_size", "_slot_ns", "_slots", "_slots_kept")

    def __init__(self, size: int, window_ns: int) -> None:
        self._slot_ns, self._slots_kept = slots_of(window_ns)
        self._size = size
        self._slots: dict[int, tuple[Ints, Ints]] = {}
        self._newest = 0

    def advance(self, now_ns: int) -> None:
        """Let time pass; it never falls back."""
        newest = now_ns // self._slot_ns
        if newest <= self._newest:
            return
        expired = expired_slots(self._slots, self._newest - self._slots_kept, newest - self._slots_kept)
        self._newest = newest
        for slot in expired:
            del self._slots[slot]

    def add(self, at_ns: int, indices: Indices, minima: Ints, maxima: Ints) -> None:
        """`indices` each at most once, with the least and greatest seen there."""
        slot = min(at_ns // self._slot_ns, self._newest)
        if slot <= self._newest - self._slots_kept:
            return
        if slot not in self._slots:
            self._slots[slot] = no_extremes(self._size)
        least, greatest = self._slots[slot]
        least[indices] = np.minimum(least[indices], minima)
        greatest[indices] = np.maximum(greatest[indices], maxima)

    def take_over(self, other: SlidingExtremes) -> None:
        """As `SlidingSum.take_over`."""
        for slot, (least, greatest) in other._slots.items():
            seen = np.flatnonzero(least != NO_MINIMUM)
            self.add((slot + 1) * other._slot_ns - 1, seen, least[seen], greatest[seen])

    def move(self, moved: Indices, into: Indices) -> None:
        """Join what was seen at `moved` to what was seen where `into`, by index, says."""
        for slot in self._slots.values():
            move_extremes(slot, moved, into)

    def current(self, window_ns: int | None = None) -> tuple[Ints, Ints]:
        """Least and greatest over the window, or a shorter one; NO_MINIMUM and NO_MAXIMUM where nothing was
        seen."""
        least, greatest = no_extremes(self._size)
        kept = self._slots_kept if window_ns is None else max(1, -(-window_ns // self._slot_ns))
        for slot, (slot_least, slot_greatest) in self._slots.items():
            if slot > self._newest - kept:
                np.minimum(least, slot_least, out=least)
                np.maximum(greatest, slot_greatest, out=greatest)
        return least, greatest


def nearest(kept: Iterable[float], window_s: float) -> float:
    """The kept window that tells most of another one: the next longer, or the longest."""
    longest_first = sorted(kept, reverse=True)
    return min((one for one in longest_first if one >= window_s), default=longest_first[0])


def move(sums: Ints, moved: Indices, into: Indices) -> None:
    """Add the sums at `moved` to those where `into`, by index, says; they are 0 then."""
    np.add.at(sums, into[moved], sums[moved])
    sums[moved] = 0


def move_extremes(extremes: tuple[Ints, Ints], moved: Indices, into: Indices) -> None:
    """The same of least and greatest values; there are none at `moved` then."""
    least, greatest = extremes
    np.minimum.at(least, into[moved], least[moved])
    np.maximum.at(greatest, into[moved], greatest[moved])
    least[moved], greatest[moved] = NO_MINIMUM, NO_MAXIMUM


def expired_slots(kept: Mapping[int, object], before: int, oldest: int) -> list[int]:
    """Which of `kept` lie at or before `oldest`, when none does at or before `before`."""
    if oldest - before > len(kept):
        return [slot for slot in kept if slot <= oldest]
    return [slot for slot in range(before + 1, oldest + 1) if slot in kept]


def no_extremes(size: int) -> tuple[Ints, Ints]:
    """Least and greatest of nothing."""
    return np.full(size, NO_MINIMUM, dtype=np.int64), np.full(size, NO_MAXIMUM, dtype=np.int64)


def merged(chunks: list[tuple[Indices, Ints]]) -> tuple[Indices, Ints]:
    """The same sums as `chunks`, each index once."""
    return summed(
        np.concatenate([chunk[0] for chunk in chunks]), np.concatenate([chunk[1] for chunk in chunks])
    )


def summed(indices: Indices, amounts: Ints) -> tuple[Indices, Ints]:
    """`amounts` added up by index, each index once, ascending; exact in 64-bit integers."""
    if len(indices) == 0:
        return indices, amounts
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[starts], np.add.reduceat(amounts[order], starts)
