"""What throttles remember of one scope: its last entries with their notionals, and its last exit.

It depends on no rule: whatever throttles are configured, now or later, are judged by the same memory, so an
answer does not depend on when the configuration was changed. It holds the last `limits.MAX_WINDOW_TRADES`
entries, as no window may hold more, of the `limits.MAX_SCOPE_TIME_US` before the last one, as none is longer.

Immutable, and cheap to go on from however much it holds: entries are kept by blocks of `BLOCK`, with running
sums of the notionals, so an entry copies part of one block and a window is found by halving.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise

from msgspec import Struct

from pipeline import limits

NEVER_YET = -1
"""Of the last entry or exit: there was none."""
BLOCK = 32
"""Entries in a block: about the root of how many there may be."""
_FULL = limits.MAX_WINDOW_TRADES // BLOCK
"""With fewer whole blocks there is room for another entry."""

Block = tuple[tuple[int, ...], tuple[int, ...]]
"""Times, and the sums of all notionals from `base` up to and with each entry's."""


class ScopeState(Struct, frozen=True, eq=False, gc=False):
    """The memory of one scope; times in microseconds, never falling.

    `blocks` are whole ones, oldest first, and `ends` their last times; `times` and `sums` are the entries
    after them. `dropped` entries at the front are one too many. `base` and `total` are the sums before the
    first and after the last entry. Two are equal when they remember the same.
    """

    exit_us: int = NEVER_YET
    times: tuple[int, ...] = ()
    sums: tuple[int, ...] = ()
    total: int = 0
    blocks: tuple[Block, ...] = ()
    ends: tuple[int, ...] = ()
    dropped: int = 0
    base: int = 0

    @property
    def entry_us(self) -> int:
        """The last entry."""
        if self.times:
            return self.times[-1]
        return self.ends[-1] if self.ends else NEVER_YET

    def entered(self, now_us: int, notional: int) -> ScopeState:
        """After an entry at `now_us`, which is not before the last."""
        total = self.total + notional
        times, sums = (*self.times, now_us), (*self.sums, total)
        blocks, ends = self.blocks, self.ends
        if len(times) < BLOCK and len(blocks) < _FULL:
            return ScopeState(self.exit_us, times, sums, total, blocks, ends, 0, self.base)
        if len(times) == BLOCK:
            blocks, ends = (*blocks, (times, sums)), (*ends, now_us)
            times = sums = ()
        too_many = BLOCK * len(blocks) + len(times) - limits.MAX_WINDOW_TRADES
        # Beyond a whole block they go, also those that no window reaches any more.
        old = bisect_right(ends, now_us - limits.MAX_SCOPE_TIME_US)
        gone = max(too_many // BLOCK, old)
        base = blocks[gone - 1][1][-1] if gone > 0 else self.base
        dropped = max(too_many - BLOCK * gone, 0)
        return ScopeState(self.exit_us, times, sums, total, blocks[gone:], ends[gone:], dropped, base)

    def left(self, now_us: int) -> ScopeState:
        """After an exit at `now_us`, a partial one included."""
        return ScopeState(
            now_us, self.times, self.sums, self.total, self.blocks, self.ends, self.dropped, self.base
        )

    def since(self, until_us: int) -> tuple[int, int]:
        """Of the entries after `until_us`: (how many, the sum of all notionals before them)."""
        times, blocks = self.times, self.blocks
        if times and times[0] <= until_us:
            gone = bisect_right(times, until_us)
            return len(times) - gone, self.sums[gone - 1]
        first = bisect_right(self.ends, until_us)
        if first == len(blocks):
            return len(times), blocks[-1][1][-1] if blocks else self.base
        block_times, block_sums = blocks[first]
        gone = bisect_right(block_times, until_us)
        if not first:
            gone = max(gone, self.dropped)
        count = BLOCK * (len(blocks) - first) - gone + len(times)
        if gone:
            return count, block_sums[gone - 1]
        return count, blocks[first - 1][1][-1] if first else self.base

    def newest(self, rank: int) -> int:
        """The time of the last entry but `rank` − 1; there must be one."""
        if rank <= len(self.times):
            return self.times[-rank]
        back, place = divmod(rank - len(self.times) - 1, BLOCK)
        return self.blocks[-1 - back][0][-1 - place]

    def reaching(self, total: int) -> int:
        """The time of the first entry with which the sum of all notionals is `total` or more; NEVER_YET if
        it never is."""
        place = bisect_left(self.blocks, total, key=_last_sum)
        times, sums = self.blocks[place] if place < len(self.blocks) else (self.times, self.sums)
        inside = bisect_left(sums, total)
        return times[inside] if inside < len(times) else NEVER_YET

    def entries(self) -> list[tuple[int, int]]:
        """(time, notional) of all that is remembered, oldest first."""
        found = list(self._all())[self.dropped :]
        oldest_us = self.entry_us - limits.MAX_SCOPE_TIME_US
        return [entry for entry in found if entry[0] > oldest_us]

    def _all(self) -> Iterator[tuple[int, int]]:
        times = [time_us for block in self.blocks for time_us in block[0]] + list(self.times)
        sums = [self.base, *(total for block in self.blocks for total in block[1]), *self.sums]
        return zip(times, (after - before for before, after in pairwise(sums)), strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ScopeState):
            return NotImplemented
        return self.exit_us == other.exit_us and self.entries() == other.entries()

    def __ne__(self, other: object) -> bool:
        # A struct does not take it from `__eq__`.
        equal = self.__eq__(other)
        return NotImplemented if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        return hash((self.exit_us, self.entry_us))


ORIGIN = ScopeState()
"""Before anything happened."""


def remembered(entries: Iterable[tuple[int, int]], exit_us: int) -> ScopeState:
    """The memory of `entries`, (time, notional), oldest first, and of the last exit."""
    state = ScopeState(exit_us)
    for time_us, notional in entries:
        state = state.entered(time_us, notional)
    return state


def together(scopes: Iterable[ScopeState]) -> ScopeState:
    """The memory of all of `scopes` as one."""
    known = [scope for scope in scopes if scope.entry_us != NEVER_YET or scope.exit_us != NEVER_YET]
    if len(known) < 2:
        return known[0] if known else ORIGIN
    entries = sorted((entry for scope in known for entry in scope.entries()), key=_time)
    return remembered(entries, max(scope.exit_us for scope in known))


def _time(entry: tuple[int, int]) -> int:
    return entry[0]


def _last_sum(block: Block) -> int:
    return block[1][-1]
