"""The story of each change: the breach before it, the decision, its workers ready, the SLA met. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline import limits
from pipeline.autoscale.state import Change
from pipeline_operator.observation import SlaVerdict
from pipeline_operator.record import Record, StageResult


class Changes:
    """Takes each decision as it is made."""

    def __init__(self) -> None:
        self._breach_us: dict[str, int] = {}
        """Since when an SLA of the stage is violated."""
        self._done: list[Change] = []

    def take(self, record: Record) -> None:
        """One decision on all stages."""
        results = {result.stage: result for result in record.stages}
        for stage, result in results.items():
            if not _violated(result):
                self._breach_us.pop(stage, None)
            else:
                self._breach_us.setdefault(stage, record.at_us)
        self._done = [
            _followed(change, results.get(change.stage), self._breach_us.get(change.stage), record.at_us)
            if _is_open(change)
            else change
            for change in self._done
        ]
        self._done += [
            Change(
                stage=write.stage,
                before=write.before,
                after=write.replicas,
                decided_us=record.at_us,
                breach_us=self._breach_us.get(write.stage),
                sentence=results[write.stage].sentence,
            )
            for write in record.writes
        ]
        del self._done[: -limits.AUTOSCALE_CHANGES]

    def all(self) -> tuple[Change, ...]:
        """Oldest first."""
        return tuple(self._done)


def _violated(result: StageResult) -> bool:
    return any(sla.verdict is SlaVerdict.VIOLATED for sla in result.slas)


def _is_open(change: Change) -> bool:
    return change.ready_us is None or (change.breach_us is not None and change.met_us is None)


def _followed(change: Change, now: StageResult | None, breach_us: int | None, at_us: int) -> Change:
    if now is None:
        return change
    if change.breach_us is None and breach_us is not None:  # decided ahead of it
        change = replace(change, breach_us=breach_us)
    if change.ready_us is None and now.before == change.after == now.ready:
        change = replace(change, ready_us=at_us)
    if change.breach_us is not None and change.met_us is None and not _violated(now):
        change = replace(change, met_us=at_us)
    return change
