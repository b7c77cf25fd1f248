"""Writes of one Pipeline that were refused: what the API server said, and when they are tried again."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from pipeline_operator import limits
from pipeline_operator.kube.backoff import Backoff
from pipeline_operator.observation import Refusal
from pipeline_operator.record import Write
from pipeline_operator.runtime.scaler import Written


@dataclass
class _Refused:
    reason: str
    message: str
    backoff: Backoff


class Refusals:
    """By stage. A refusal lasts until a write of the stage, or a probe of one, is taken."""

    def __init__(self, dice: random.Random | None = None) -> None:
        self._dice = dice
        self._refused: dict[str, _Refused] = {}

    def note(self, written: Written, now_ns: int) -> None:
        """What became of a write or of a probe. An API server that is away proves neither."""
        stage, old = written.write.stage, self._refused.get(written.write.stage)
        if not written.fault:
            self.forget(stage)
            return
        if written.refusal:
            message = f"the API server refuses to scale StatefulSet {written.write.target}: {written.fault}"
            backoff = old.backoff if old is not None else self._new_backoff()
            old = self._refused[stage] = _Refused(written.refusal, message, backoff)
        if old is not None:
            old.backoff.failed(now_ns)

    def forget(self, stage: str) -> None:
        """Its target is another one now."""
        self._refused.pop(stage, None)

    def told(self, now_ns: int) -> dict[str, Refusal]:
        """Stage → what the policy is told of it."""
        return {
            stage: Refusal(reason=one.reason, message=one.message, waits=one.backoff.waits(now_ns))
            for stage, one in self._refused.items()
        }

    def _new_backoff(self) -> Backoff:
        first_s, most_s = limits.FIRST_REFUSED_AGAIN_S, limits.MAX_REFUSED_AGAIN_S
        return Backoff(self._dice, first_s=first_s, most_s=most_s)


def probes_of(
    told: dict[str, Refusal], targets: dict[str, tuple[str, int]], writes: Iterable[Write]
) -> tuple[Write, ...]:
    """Refused stages whose wait is over and that nothing is written of just now: their replicas as they are,
    to be tried without storing. Or a refusal that was mended would be told until the next change.

    `targets`: stage → (StatefulSet, its replicas).
    """
    written = {write.stage for write in writes}
    return tuple(
        Write(stage=stage, target=targets[stage][0], before=targets[stage][1], replicas=targets[stage][1])
        for stage, refusal in told.items()
        if not refusal.waits and stage not in written and stage in targets
    )
