"""What every worker process has in common: its name, clock, recorder, note of what it has in hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pipeline.clock import NS_PER_MS, Clock, SystemClock
from pipeline.config import Config
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.storage.in_hand import InHand
from pipeline.telemetry.recorder import Recorder, open_recorder, telemetry_directory
from pipeline.telemetry.self_report import SelfReport
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.downlinks import DownlinkStatistics
from pipeline.transport.judge import Judge
from pipeline.transport.settings import Timing
from pipeline.transport.worker import Worker

REPORT_EVERY_NS = 100 * NS_PER_MS
"""Lag and depth are written ten times a second: a breach is seen within one aggregation step."""


class Stop(Protocol):
    """Asked to leave? `fd` becomes readable when so."""

    def is_set(self) -> bool: ...

    @property
    def fd(self) -> int: ...


class Context:
    """One worker's surroundings; `boot` names its incarnation: wall-clock µs of its start."""

    def __init__(
        self, stage: str, ordinal: int, config: Config, clock: Clock | None = None, *, name: str = ""
    ) -> None:
        """`name` of one that has no number."""
        self.name = name or f"{stage}-{ordinal}"
        self.config = config
        self.clock = clock or SystemClock()
        self.boot = self.clock.wall_us()
        self.timing = Timing.of(config.links)
        self.data_dir = Path(config.data_dir)
        self.recorder: Recorder = open_recorder(
            telemetry_directory(config), self.name, config.telemetry.ring_entries
        )
        self.self_report = SelfReport(self.recorder, self.clock)

    def link_meter(self, consume: int = 0, publish: int = 0) -> LinkMeter:
        """`consume` and `publish`: this stage's golden-path events."""
        malformed = MalformedFrames(self.data_dir / "malformed", self.name)
        return LinkMeter(self.recorder, malformed, consume, publish)

    def in_hand(self) -> InHand:
        """A file that outlives the process: the next incarnation names what this one died on.

        Not in the ring, because the collector folds and unlinks a dead worker's ring.
        """
        return InHand.open(self.data_dir / "run" / "in-hand", self.name)

    def reporter(self, node: Dispatcher | Worker | Judge, meter: LinkMeter) -> Callable[[int], None]:
        """Writes this worker's facts to its ring; call it about every REPORT_EVERY_NS."""

        def report(now_ns: int) -> None:
            links: tuple[DownlinkStatistics, ...] = ()
            if isinstance(node, Dispatcher):
                node.count_waiting()
            if not isinstance(node, Judge):
                links = node.statistics().downlinks
            free = {link.ordinal: link.free for link in links if link.up}
            meter.flush(node.lags_ns(now_ns), free)
            self.self_report.report(node.depth if not isinstance(node, Dispatcher) else node.unsettled)

        return report
