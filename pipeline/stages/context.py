"""What every worker process has in common: its name, clock, recorder, note of what it has in hand."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from pipeline import limits
from pipeline.clock import NS_PER_MS, Clock, SystemClock
from pipeline.config import Config
from pipeline.config.check_links import exposed_links
from pipeline.stages.call_watch import CallWatch
from pipeline.stages.link_report import HOTTEST, LinkReporter
from pipeline.stages.malformed import MalformedFrames
from pipeline.stages.meter import LinkMeter
from pipeline.storage.in_hand import InHand
from pipeline.telemetry.link_files import links_folder
from pipeline.telemetry.recorder import Recorder, open_recorder, telemetry_directory
from pipeline.telemetry.self_report import SelfReport
from pipeline.trading.plugin import watch_calls
from pipeline.transport.curve import load_link_keys
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.downlinks import DownlinkStatistics
from pipeline.transport.hot_keys import HotKeys
from pipeline.transport.judge import Judge
from pipeline.transport.settings import Timing
from pipeline.transport.worker import Worker

log = logging.getLogger(__name__)

REPORT_EVERY_NS = 100 * NS_PER_MS
"""Lag and depth are written ten times a second: a breach is seen within one aggregation step."""
LINKS_EVERY_NS = 1_000 * NS_PER_MS
"""The table of queues and links is for people; a quiet worker writes it five times less often."""
COOL_EVERY = 10
"""Tables after which the counts of hot keys are halved."""
QUIET_REPORT_EVERY_NS = 500 * NS_PER_MS
"""A worker with nothing to do says so twice a second: ten times would be half of what it costs while idle."""


class Stop(Protocol):
    """Asked to leave? `fd` becomes readable when so."""

    def is_set(self) -> bool: ...

    @property
    def fd(self) -> int: ...


class Context:
    """One worker's surroundings; `boot` names its incarnation: wall-clock µs of its start.

    Raises MissingError when the links' keys cannot be had.
    """

    def __init__(
        self,
        stage: str,
        ordinal: int,
        config: Config,
        clock: Clock | None = None,
        *,
        name: str = "",
        linked: bool = True,
    ) -> None:
        """`name` of one that has no number. One that is not `linked` needs no keys of the links."""
        self.name = name or f"{stage}-{ordinal}"
        self.config = config
        self.clock = clock or SystemClock()
        self.boot = self.clock.wall_us()
        self.timing = Timing.of(config.links)
        self.link_keys = load_link_keys(config.links, os.environ) if linked else ()
        if linked and not self.link_keys and (exposed := exposed_links(config)):
            log.warning(
                "links.curve = off: whoever reaches %s can read and forge events", next(iter(exposed))
            )
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

    def watch_users_code(self, kinds: Iterable[str]) -> None:
        """Where a `custom` one is among `kinds` of strategies: ends this process when a call of it does not
        come back. Raises MissingError."""
        if "custom" in kinds:
            folder = self.data_dir / "run" / "calls"
            watch_calls(CallWatch(folder, self.name, limits.MAX_CALL_S))

    def reporter(self, node: Dispatcher | Worker | Judge, meter: LinkMeter) -> Reporter:
        return Reporter(
            node, meter, self.self_report, LinkReporter(self.name, links_folder(self.config)), self.clock
        )


class Reporter:
    """Writes a worker's facts to its ring every REPORT_EVERY_NS, less often while there is nothing to say."""

    def __init__(
        self,
        node: Dispatcher | Worker | Judge,
        meter: LinkMeter,
        self_report: SelfReport,
        links: LinkReporter,
        clock: Clock,
    ) -> None:
        self.hot_keys = HotKeys(limits.HOT_KEYS)
        """For the owner to add to."""
        self.standing: Callable[[], tuple[str, ...]] = tuple
        """The owner's controls in force, as `LinkReport.standing` has them."""
        self._links = links
        self._clock = clock
        self._links_ns = 0
        self._tables = 0
        self._node = node
        self._meter = meter
        self._self_report = self_report
        self._due_ns = 0
        self._quiet = False

    def __call__(self, now_ns: int) -> int:
        """Call at every turn; returns when the next one is needed, if nothing happens before, ns."""
        if now_ns >= self._due_ns or (self._quiet and self._meter.stirred):
            self._quiet = self._report(now_ns)
            interval_ns = QUIET_REPORT_EVERY_NS if self._quiet else REPORT_EVERY_NS
            self._due_ns = (now_ns // interval_ns + 1) * interval_ns
            if now_ns >= self._links_ns:
                self._links_ns = now_ns + (5 if self._quiet else 1) * LINKS_EVERY_NS
                self._write_links()
            else:
                self._links.see(self._node)
        return self._due_ns

    def _write_links(self) -> None:
        top = tuple(self.hot_keys.top(HOTTEST))
        wall_us, now_ns = self._clock.wall_us(), self._clock.monotonic_ns()
        self._links.write(self._node, wall_us, self._meter.strangers, top, now_ns, self.standing())
        self._tables += 1
        if self._tables % COOL_EVERY == 0:
            self.hot_keys.cool()

    def close(self) -> None:
        """The worker leaves: what it told is no longer so."""
        self._links.remove()

    def _report(self, now_ns: int) -> bool:
        """Whether there was nothing to say but that."""
        node = self._node
        links: tuple[DownlinkStatistics, ...] = ()
        if isinstance(node, Dispatcher):
            node.count_waiting()
        if not isinstance(node, Judge):
            links = node.statistics().downlinks
        free = {link.ordinal: link.free for link in links if link.up}
        lags_ns = node.lags_ns(now_ns)
        depth = node.unsettled if isinstance(node, Dispatcher) else node.depth
        quiet = not (depth or self._meter.stirred or any(lags_ns.values()))
        self._meter.flush(lags_ns, free)
        self._self_report.report(depth)
        return quiet
