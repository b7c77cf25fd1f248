"""What was sent and how it was answered, on disk: ten bytes a fact, so that two hours of it stay small.

A record is the event's number (64 bits) and a status (16 bits): SENT before it is sent, then each answer.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]

SENT = 0
SUFFIX = ".ledger"
_RECORD = struct.Struct("<QH")
_DTYPE = np.dtype([("id", "<u8"), ("status", "<u2")])


class Ledger:
    """The facts of one generator process. Buffered: `flush` writes what came since the last one.

    On a full disk, which may be the very one that is tested, they stay in memory until there is space.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=0)
        self._buffer = bytearray()

    def note(self, number: int, status: int) -> None:
        self._buffer += _RECORD.pack(number, status)

    def flush(self) -> None:
        try:
            while self._buffer:
                del self._buffer[: self._file.write(self._buffer)]
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise

    def close(self) -> None:
        self.flush()
        self._file.close()


class Sent(NamedTuple):
    """Events by what is known of them, each list sorted and without repeats."""

    sent: Ids
    accepted: Ids
    """Answered 202 at least once."""
    repeated: Ids
    """Sent more than once."""
    unanswered: int = 0
    """Of which nothing is known but that they were sent."""


def read_ledgers(files: Iterable[Path]) -> Sent:
    """What all processes of a run noted; a record cut off at the end is left out."""
    parts = [_records(file) for file in files]
    records = np.concatenate(parts) if parts else np.zeros(0, dtype=_DTYPE)
    sent, times = np.unique(records["id"][records["status"] == SENT], return_counts=True)
    accepted = np.unique(records["id"][records["status"] == 202])
    answered = np.unique(records["id"][records["status"] != SENT])
    unanswered = len(np.setdiff1d(sent, answered, assume_unique=True))
    repeated = sent[times > 1]
    return Sent(sent.astype(np.uint64), accepted.astype(np.uint64), repeated.astype(np.uint64), unanswered)


def _records(file: Path) -> npt.NDArray[np.void]:
    data = file.read_bytes()
    return np.frombuffer(data, dtype=_DTYPE, count=len(data) // _DTYPE.itemsize)
