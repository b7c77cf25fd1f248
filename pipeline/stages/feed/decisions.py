"""What the embedded autoscaler has decided: its last word, and its changes, from the file it writes.

It writes twice a second while it runs, and the file stays when it ends: an old one is nobody's word by now.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.clock import US_PER_S
from pipeline.stages.story import utc

FILE = Path("run") / "autoscale.json"
"""In `data_dir`; `pipeline.autoscale.state`, whose fields these are, writes it."""


class Change(Struct, frozen=True):
    decided_us: int
    sentence: str


class State(Struct, frozen=True):
    at_us: int
    sentence: str
    changes: tuple[Change, ...] = ()


class Decisions:
    """Read again only when the file has changed; it need not be there."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / FILE
        self._name = str(self._file)
        self._seen: tuple[int, int] = (0, 0)
        self._newest: tuple[dict[str, str], ...] = ()
        self._at_us = 0

    def newest(self, now_us: int) -> tuple[dict[str, str], ...]:
        """The last word, then the changes, the last one first; none while the file is none of ours, or older
        than `limits.DECISION_OLD_S`."""
        try:
            facts = os.stat(self._name)  # noqa: PTH116 - ten times a second, and a path object costs more
            seen = (facts.st_mtime_ns, facts.st_size)
            if seen != self._seen:
                state = msgspec.json.decode(self._file.read_bytes(), type=State)
                self._newest, self._at_us, self._seen = _told(state), state.at_us, seen
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            self._newest = ()
        return self._newest if now_us - self._at_us <= limits.DECISION_OLD_S * US_PER_S else ()


def _told(state: State) -> tuple[dict[str, str], ...]:
    words = [(state.at_us, state.sentence)]
    words += [(change.decided_us, change.sentence) for change in reversed(state.changes)]
    shown = words[: limits.DECISIONS_SHOWN]
    return tuple({"at": utc(at_us), "sentence": sentence} for at_us, sentence in shown if sentence)
