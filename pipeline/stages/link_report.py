"""What each worker tells about its queues and links: a small file, which `ringline status --links` reads.

Not in the ring: keys are text, and a table of links is no series of figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline.messages import Control, decode_event
from pipeline.transport.dispatcher import Dispatcher
from pipeline.transport.downlinks import DownlinkStatistics
from pipeline.transport.judge import Judge
from pipeline.transport.worker import Worker

HOTTEST = 5


class Queue(Struct, frozen=True):
    """`most` is the highest depth that was seen, ten times a second, since the worker started."""

    depth: int
    most: int


class LinkReport(Struct, frozen=True, kw_only=True):
    """One worker at one moment. Counts are since it started."""

    name: str
    taken_us: int
    """Wall clock, microseconds."""
    queues: dict[str, Queue]
    refused: int = 0
    """Messages refused, or at the gateway: keys sent again."""
    resets: int = 0
    """Sessions of senders that had to begin anew."""
    links_lost: int = 0
    strangers: int = 0
    hot_keys: tuple[tuple[str, int], ...] = ()
    """With their counts of late; the gateway's only, which sees all."""
    links: tuple[DownlinkStatistics, ...] = ()
    taken_ns: int = 0
    """The same moment on the monotonic clock that the links' `oldest_ns` are instants of; 0: not told."""
    standing: tuple[str, ...] = ()
    """The controls that keys first seen later begin under, as `halt: reason`; the gateway's only. No audit
    has a row of one that came before the first key."""


class LinkReporter:
    """Keeps the highest depths and writes the file."""

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._file = folder / f"{name}.json"
        self._most: dict[str, int] = {}

    def see(self, node: Dispatcher | Worker | Judge) -> dict[str, int]:
        """The depth of every queue now."""
        depths = depths_of(node)
        most = self._most
        for queue, depth in depths.items():
            if depth > most.get(queue, -1):
                most[queue] = depth
        return depths

    def write(
        self,
        node: Dispatcher | Worker | Judge,
        now_us: int,
        strangers: int = 0,
        hot_keys: tuple[tuple[str, int], ...] = (),
        now_ns: int = 0,
        standing: tuple[str, ...] = (),
    ) -> None:
        """A disk that takes nothing is somebody else's news."""
        queues = {name: Queue(depth, self._most[name]) for name, depth in self.see(node).items()}
        found = node.statistics()
        report = LinkReport(
            name=self._name,
            taken_us=now_us,
            queues=queues,
            refused=getattr(found, "refused", getattr(found, "rewinds", 0)),
            resets=getattr(found, "resets", 0),
            links_lost=getattr(found, "links_lost", 0),
            strangers=strangers,
            hot_keys=hot_keys,
            links=getattr(found, "downlinks", ()),
            taken_ns=now_ns,
            standing=standing,
        )
        draft = self._file.with_name(f".{self._file.name}")
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft.write_bytes(msgspec.json.encode(report))
            draft.replace(self._file)

    def remove(self) -> None:
        self._file.unlink(missing_ok=True)


def standing_of(payloads: Iterable[bytes]) -> tuple[str, ...]:
    """What `LinkReport.standing` says of the payloads of control events."""
    found = (decode_event(payload) for payload in payloads)
    controls = (one for one in found if isinstance(one, Control))
    return tuple(f"{one.action}: {one.reason}" if one.reason else one.action for one in controls)


def depths_of(node: Dispatcher | Worker | Judge) -> dict[str, int]:
    """Messages in each queue of a node."""
    if isinstance(node, Dispatcher):
        return {"unsettled": node.unsettled}
    found = node.statistics()
    return {
        name: getattr(found, name)
        for name in ("inbox", "outputs", "waiting", "received", "questions")
        if hasattr(found, name)
    }


def read_link_reports(folder: Path) -> list[LinkReport]:
    """What the workers have written last, by name; what is no report is left out."""
    found = []
    with suppress(OSError):
        for file in sorted(folder.glob("*.json")):
            with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
                found.append(msgspec.json.decode(file.read_bytes(), type=LinkReport))
    return found
