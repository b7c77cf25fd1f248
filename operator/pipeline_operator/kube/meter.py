"""Counts of API calls, for the operator's own metrics."""

from __future__ import annotations

from collections import Counter


class ApiMeter:
    """Calls by verb and code; code 0: no answer."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()
        self.held_back = 0
        """Calls that were not made because the server had asked for patience."""

    def answered(self, verb: str, code: int) -> None:
        self.calls[verb, code] += 1
