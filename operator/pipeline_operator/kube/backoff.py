"""How long to leave the API server alone after it failed."""

from __future__ import annotations

import random
from email.utils import parsedate_to_datetime

from pipeline.clock import NS_PER_S
from pipeline_operator import limits


class Backoff:
    """Doubles with each failure, with jitter, and never comes back before Retry-After. One per subject."""

    __slots__ = ("_dice", "_failures", "_first_s", "_most_s", "until_ns")

    def __init__(
        self,
        dice: random.Random | None = None,
        *,
        first_s: float = limits.FIRST_BACKOFF_S,
        most_s: float = limits.MAX_BACKOFF_S,
    ) -> None:
        self._first_s, self._most_s = first_s, most_s
        self._dice = dice or random.Random()  # noqa: S311 - spreads clients in time, keeps no secret
        self._failures = 0
        self.until_ns = 0
        """Monotonic; not before then."""

    def waits(self, now_ns: int) -> bool:
        return now_ns < self.until_ns

    def failed(self, now_ns: int, retry_after_s: float | None = None) -> None:
        """One more failure."""
        self._failures += 1
        top_s = min(self._most_s, self._first_s * 2 ** min(self._failures - 1, 20))
        wait_s = top_s * (0.5 + self._dice.random() / 2)
        if retry_after_s is not None:
            wait_s = max(wait_s, min(retry_after_s, limits.MAX_RETRY_AFTER_S))
        self.until_ns = max(self.until_ns, now_ns + round(wait_s * NS_PER_S))

    def worked(self) -> None:
        self._failures = 0
        self.until_ns = 0


def retry_after_s(header: str | None, wall_s: float) -> float | None:
    """Seconds in a Retry-After header (RFC 9110, 10.2.3: a number or a date); None without a usable one."""
    if not header:
        return None
    if header.isascii() and header.isdigit() and len(header) < 10:
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - wall_s)
    except (ValueError, TypeError, OverflowError):
        return None
