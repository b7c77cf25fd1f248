"""How a test is doing, a line every few seconds while it runs."""

from __future__ import annotations

from collections.abc import Callable

from loadtests.samples import Samples
from loadtests.shapes import Shape
from loadtests.tally import Collected
from pipeline.plotting.tables import milliseconds

EVERY_S = 5
LATE_MS = 50.0
"""A generator whose loop is later than this measures itself."""


class Progress:
    """`tell` says a line when one is due."""

    def __init__(
        self, shape: Shape, collected: Collected, samples: Samples, say: Callable[[str], None]
    ) -> None:
        self._shape = shape
        self._collected = collected
        self._samples = samples
        self._say = say
        self._next_s = float(EVERY_S)

    def tell(self, elapsed_s: float) -> None:
        if elapsed_s < self._next_s:
            return
        self._next_s += EVERY_S
        self._say(self.line(elapsed_s))

    def line(self, elapsed_s: float) -> str:
        """Of the last EVERY_S seconds that are over."""
        last = self._collected.ordered()[-EVERY_S - 1 : -1]
        p95_ms = self._collected.p95_ms(second.second for second in last)
        span_s = len(last) or 1
        lag = self._samples.samples[-1].lag_ms if self._samples.samples else {}
        worst = max(lag.items(), key=lambda item: item[1], default=("", 0.0))
        totals = self._collected.totals
        loop_ms = totals.quantile_ms("loop_lag", 99) or 0.0
        return (
            f"{min(elapsed_s, self._shape.duration_s):5.0f} of {self._shape.duration_s:,.0f} s  "
            f"users {max((second.users for second in last), default=0):4}  "
            f"{sum(second.met for second in last) / span_s:6,.0f}/s  "
            f"p95 {milliseconds(p95_ms):>6} ms  "
            f"shed {totals.shed:,}  errors {totals.errors:,}  "
            f"lag {worst[0]} {worst[1]:,.0f} ms"
            + (f"  generator late by {loop_ms:,.0f} ms" if loop_ms > LATE_MS else "")
        )
