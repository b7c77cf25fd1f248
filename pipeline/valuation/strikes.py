"""Which of a user's models are asked: one that takes too long again and again, or for ever, is not."""

from __future__ import annotations

import logging
from collections import deque

from pipeline import limits, valuation_limits
from pipeline.valuation.model import OVERLONG

log = logging.getLogger(__name__)

ENDED = "ended its process"
SLOW = f"took more than {valuation_limits.MODEL_CALL_MS} ms"
HUNG = f"did not come back within {limits.MAX_CALL_S} s"


class Strikes:
    """All models' together; `left_out` names those that are not asked any more, and why."""

    def __init__(self) -> None:
        self.left_out: dict[str, str] = {}
        self._calls: dict[str, int] = {}
        self._struck_at: dict[str, deque[int]] = {}

    def answered(self, model: str, fault: str, took_us: int) -> None:
        """A question was answered with `fault` ("": none) after `took_us`."""
        self._calls[model] = self._calls.get(model, 0) + 1
        if fault == OVERLONG:
            self._strike(model, OVERLONG)
        elif took_us > 1000 * valuation_limits.MODEL_CALL_MS:
            self._strike(model, SLOW)

    def ended(self, model: str) -> None:
        """It has ended the process that it ran in."""
        self._calls[model] = self._calls.get(model, 0) + 1
        self._strike(model, ENDED)

    def leave_out(self, model: str, reason: str) -> None:
        self.left_out[model] = f"{reason}: left out until a restart"
        log.error("valuation.models.%s: %s", model, self.left_out[model])

    def _strike(self, model: str, reason: str) -> None:
        struck_at = self._struck_at.setdefault(model, deque(maxlen=valuation_limits.MAX_MODEL_STRIKES))
        struck_at.append(self._calls[model])
        most = valuation_limits.MAX_MODEL_STRIKES
        if len(struck_at) == most and struck_at[-1] - struck_at[0] < valuation_limits.MODEL_STRIKES_CALLS:
            self.leave_out(model, f"{reason}, {most} times")
