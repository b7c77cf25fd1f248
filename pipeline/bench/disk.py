"""What the disk under a folder takes for one bare fdatasync: the floor of every accept."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.clock import NS_PER_MS, NS_PER_S
from pipeline.errors import MissingError
from pipeline.replay.tally import percentile

WRITE_BYTES = 4096
"""One page: about what a group commit of ten events appends."""
MOST_SYNCS = 500
LONGEST_S = 5.0


def fdatasync_p95_ms(folder: Path, now_ns: Callable[[], int] = time.monotonic_ns) -> float:
    """p95 of append-and-fdatasync on an allocated file in `folder`, milliseconds.

    Raises MissingError when the folder cannot be written.
    """
    page = os.urandom(WRITE_BYTES)
    taken_ns: list[int] = []
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            os.posix_fallocate(file.fileno(), 0, MOST_SYNCS * WRITE_BYTES)
            end_ns = now_ns() + int(LONGEST_S * NS_PER_S)
            while len(taken_ns) < MOST_SYNCS and (start_ns := now_ns()) < end_ns:
                file.write(page)
                os.fdatasync(file.fileno())
                taken_ns.append(now_ns() - start_ns)
    except OSError as error:
        raise MissingError(f"fdatasync in {folder}: {error}") from None
    return percentile(sorted(taken_ns), 95) / NS_PER_MS
