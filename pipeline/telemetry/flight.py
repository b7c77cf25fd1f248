"""The last moments of a writer, read out of its ring: living, crashed, or kept by a collector.

A collector that buries a crashed writer keeps the newest FLIGHT_ENTRIES of its ring beside the rings, as a
smaller ring (`….flight`) that the same reader reads; the oldest of more than MAX_FLIGHTS goes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline import limits
from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.telemetry import layout
from pipeline.telemetry.events import name_in_rings
from pipeline.telemetry.layout import Identity, Kind, RefusedRingError
from pipeline.telemetry.left_rings import RING_SUFFIX
from pipeline.telemetry.proofs import sequences
from pipeline.telemetry.reader import RingReader, read_identity
from pipeline.telemetry.ring import FLIGHT_SUFFIX
from pipeline.telemetry.ring_words import Entries
from pipeline.telemetry.starts import Start

_BEGUN = int(Kind.START) << layout.KIND_SHIFT
FLIGHT_ENTRIES = 4096
"""128 KiB: a second of a busy worker."""


class Flight(NamedTuple):
    """What a ring still holds, and how its writer was."""

    identity: Identity
    entries: Entries
    begun: list[Start]
    """What it began and did not end."""
    names: dict[int, str]
    heartbeat_ns: int
    closed: bool
    alive: bool | None
    """None when that cannot be told: the file is what a collector kept."""


def read_flight(path: Path) -> Flight:
    """Raises RefusedRingError when the file is no ring, OSError when it cannot be read."""
    reader = RingReader.attach(path)
    try:
        kept = path.name.endswith(FLIGHT_SUFFIX)
        return Flight(
            reader.identity,
            reader.recent(),
            reader.under_way(),
            reader.new_names(),
            reader.heartbeat_ns,
            reader.closed,
            None if kept else not reader.writer_is_gone(),
        )
    finally:
        reader.close()


def find_flights(directory: Path, subject: str) -> list[Path]:
    """Rings and kept flights of a pid or a worker, the newest last."""
    found: list[tuple[int, Path]] = []
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            if path.name.endswith((RING_SUFFIX, FLIGHT_SUFFIX)):
                with suppress(RefusedRingError, OSError):
                    identity = read_identity(path)
                    if subject in (str(identity.pid), identity.worker):
                        found.append((identity.generation, path))
    return [path for _, path in sorted(found)]


def keep_flight(reader: RingReader) -> None:
    """Keep the newest entries of a crashed writer's ring. Never raises: it is a courtesy."""
    path = reader.path
    if path is None:
        return
    with suppress(OSError, ValueError, RefusedRingError):
        capacity = min(FLIGHT_ENTRIES, reader.identity.capacity)
        data = bytearray(layout.ring_bytes(capacity))
        data[: layout.ENTRIES_BYTE] = reader.raw_header()
        data[: layout.LINE_BYTES] = layout.pack_identity(reader.identity._replace(capacity=capacity))
        rows = reader.recent()[-capacity:]
        slots = np.frombuffer(data, dtype=np.int64, offset=layout.ENTRIES_BYTE).reshape(capacity, -1)
        slots[sequences(rows, reader.identity.proof) - 1 & capacity - 1] = rows
        target = path.with_name(path.name.removesuffix(RING_SUFFIX) + FLIGHT_SUFFIX)
        descriptor = os.open(
            target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        _remove_oldest(path.parent, limits.MAX_FLIGHTS)


def remove_flights(directory: Path) -> None:
    """What a collector does that leaves."""
    _remove_oldest(directory, 0)


def timeline(flight: Flight, seconds: float) -> Iterator[str]:
    """The last seconds as lines of text, the newest last; times are relative to the newest entry."""
    identity, entries = flight.identity, flight.entries
    state = {True: "alive", False: "gone", None: "crashed"}[flight.alive]
    if flight.closed:
        state = "left well"
    yield f"worker {identity.worker}, pid {identity.pid}: {state}; {len(entries)} entries"
    rows = sorted([*entries[:, :3].tolist(), *([at_ns, 0, what | _BEGUN] for at_ns, what in flight.begun)])
    if not rows:
        return
    newest_ns = rows[-1][0]
    yield f"last heartbeat {(flight.heartbeat_ns - newest_ns) / NS_PER_S:+.3f} s from its newest entry"
    begun = []
    for at_ns, value, what in rows:
        kind, event_id = what >> layout.KIND_SHIFT & layout.KIND_MASK, what & layout.EVENT_MASK
        correlation = what >> layout.CORRELATION_SHIFT & layout.CORRELATION_MASK
        name = flight.names.get(event_id) or name_in_rings(event_id)
        line = f"{(at_ns - newest_ns) / NS_PER_MS:>12.3f} ms  {_told(kind, name, value)}"
        line += f"  event {correlation:08x}" if correlation else ""
        if kind == Kind.START:
            begun.append(line)
        if newest_ns - at_ns <= seconds * NS_PER_S:
            yield line
    for line in begun:
        yield f"never ended: {line.strip()}"


def _told(kind: int, name: str, value: int) -> str:
    if kind == Kind.DURATION:
        return f"{name} took {value / NS_PER_MS:.3f} ms"
    if kind == Kind.START:
        return f"{name} begins"
    sign = {int(Kind.COUNT): "+", int(Kind.GAUGE): "= "}.get(kind, "?")
    return f"{name} {sign}{value}"


def _remove_oldest(directory: Path, left: int) -> None:
    with suppress(OSError):
        kept = sorted(directory.glob("*" + FLIGHT_SUFFIX), key=lambda path: path.stat().st_mtime_ns)
        for path in kept[: max(0, len(kept) - left)]:
            path.unlink(missing_ok=True)
