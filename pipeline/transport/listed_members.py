"""The workers of a stage on this machine, as the supervisor lists them in a file while it starts and stops
them.

    data_dir/run/members.json      {"agent": [0], "exec": [0, 1, 2], "audit": [0]}

An ordinal is listed from before its worker starts until it is asked to leave: a link says for itself when it
is up, and the GOODBYE of one that leaves comes over the link that is there already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from pipeline import limits
from pipeline.config.schema import Agent, Audit, Exec
from pipeline.transport.members import endpoint

_decoder = msgspec.json.Decoder(dict[str, tuple[int, ...]])


def members_file(data_dir: str) -> Path:
    """Where the supervisor of the pipeline in `data_dir` lists its workers."""
    return Path(data_dir) / "run" / "members.json"


def encode_members(ordinals: Mapping[str, Sequence[int]]) -> bytes:
    """Ordinals by stage, as a file's content."""
    return msgspec.json.encode(ordinals) + b"\n"


class ListedMembers:
    """The workers of `name` in the file. Looks at the file's time with each call: microseconds, no network.

    What was read last stays while the file is missing or no list.
    """

    def __init__(self, file: Path, name: str, stage: Agent | Exec | Audit) -> None:
        self._file = file
        self._name = name
        self._stage = stage
        self._seen: tuple[int, int] | None = None
        self._endpoints: dict[int, str] = {}

    def endpoints(self) -> dict[int, str]:
        with contextlib.suppress(OSError, msgspec.DecodeError, UnicodeDecodeError):
            found = self._file.stat()
            # It is replaced, never written into, so a new content has another inode or another time.
            if (seen := (found.st_ino, found.st_mtime_ns)) != self._seen:
                ordinals = _decoder.decode(self._file.read_bytes()).get(self._name, ())
                self._seen = seen
                self._endpoints = {
                    ordinal: endpoint(self._stage.host, self._stage.port, ordinal)
                    for ordinal in ordinals
                    if 0 <= ordinal < limits.MAX_ORDINAL
                }
        return self._endpoints

    def close(self) -> None: ...
