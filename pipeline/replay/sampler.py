"""Looks at a run about twice a second and keeps what it saw, for the live view and the report's plots."""

from __future__ import annotations

from pipeline.clock import NS_PER_S
from pipeline.replay.report import Moment
from pipeline.replay.spec import Progress
from pipeline.replay.view import View
from pipeline.snapshot import Snapshot

SAMPLE_EVERY_S = 0.5
RATE_OVER_S = 2.0
"""Rates are shown over this long: shorter is nervous."""
MAX_MOMENTS = 2000
"""Of a run that takes longer, every other moment is dropped as often as needed."""


class Sampler:
    """Moments of a run, evenly thinned; `take` at most every `SAMPLE_EVERY_S`."""

    def __init__(self, started_ns: int) -> None:
        self.moments: list[Moment] = []
        self._started_ns = started_ns
        self._next_ns = started_ns
        self._every_ns = int(SAMPLE_EVERY_S * NS_PER_S)
        self._recent: list[Moment] = []

    def due(self, now_ns: int) -> bool:
        """Whether it is time to look again."""
        if now_ns < self._next_ns:
            return False
        self._next_ns = now_ns + int(SAMPLE_EVERY_S * NS_PER_S)
        return True

    def take(
        self, now_ns: int, phase: str, progress: Progress | None, audited: int, snapshot: Snapshot | None
    ) -> View:
        """Notes the moment and returns the picture of it.

        The client's word is up to half a second old; what is audited was accepted, whatever it said last.
        """
        elapsed_s = (now_ns - self._started_ns) / NS_PER_S
        moment = Moment(
            elapsed_s=round(elapsed_s, 3),
            accepted=max(audited, progress.accepted if progress is not None else 0),
            audited=audited,
            lag_ms=_lags(snapshot),
        )
        self._keep(moment)
        before = self._recent[0]
        span_s = moment.elapsed_s - before.elapsed_s
        return View(
            phase=phase,
            elapsed_s=elapsed_s,
            planned=progress.planned if progress is not None else None,
            accepted=moment.accepted,
            audited=audited,
            accepted_per_s=(moment.accepted - before.accepted) / span_s if span_s > 0 else 0.0,
            audited_per_s=(audited - before.audited) / span_s if span_s > 0 else 0.0,
            repeated=progress.repeated if progress is not None else 0,
            retried=progress.retried if progress is not None else 0,
            snapshot=snapshot,
        )

    def _keep(self, moment: Moment) -> None:
        self._recent.append(moment)
        while moment.elapsed_s - self._recent[0].elapsed_s > RATE_OVER_S:
            del self._recent[0]
        if (
            self.moments
            and (moment.elapsed_s - self.moments[-1].elapsed_s) * NS_PER_S < self._every_ns * 3 // 4
        ):
            return
        self.moments.append(moment)
        if len(self.moments) > MAX_MOMENTS:
            del self.moments[1::2]
            self._every_ns *= 2


def _lags(snapshot: Snapshot | None) -> dict[str, float]:
    if snapshot is None:
        return {}
    return {stage.stage: round(stage.lag_ms, 3) for stage in snapshot.stages if stage.lag_ms is not None}
