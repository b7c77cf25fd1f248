"""Which keys most messages are of, in bounded memory (Misra and Gries, "Finding repeated elements", 1982)."""

from __future__ import annotations


class HotKeys:
    """Counts with `size` counters. After n messages a key's count is too low by at most n / (size + 1), so
    every key with a larger share than that is there. `cool` halves all counts, so that the past fades."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._counts: dict[str, int] = {}

    def add(self, key: str) -> None:
        counts = self._counts
        if key in counts:
            counts[key] += 1
        elif len(counts) < self._size:
            counts[key] = 1
        else:  # takes away as many counts as were added before, so it costs little on average
            self._counts = {known: count - 1 for known, count in counts.items() if count > 1}

    def cool(self) -> None:
        self._counts = {key: count // 2 for key, count in self._counts.items() if count > 1}

    def top(self, most: int) -> list[tuple[str, int]]:
        """The keys with the highest counts, highest first; of equals the first by name."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:most]
