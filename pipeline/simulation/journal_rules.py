"""Rules of the journal and of what may be given up, each with how it is taken out (see `rules`)."""

from __future__ import annotations

from itertools import count
from typing import Any

from pipeline.stages.gateway import desk
from pipeline.storage.journal import recovery
from pipeline.storage.journal.compaction import Compaction
from pipeline.storage.journal.log import Log
from pipeline.storage.journal.replay import Controls
from pipeline.transport.dispatcher import Dispatcher

Change = tuple[Any, str, Any]
"""Owner, attribute, replacement."""


def counters_are_not_carried() -> list[Change]:
    original = Compaction._finish

    def finish(self: Any, segment: Any) -> None:
        segment.keys = set()
        original(self, segment)

    return [(Compaction, "_finish", finish)]


def identities_are_not_carried() -> list[Change]:
    return [(Compaction, "_carry_known", lambda *_: None)]


def fates_are_not_carried() -> list[Change]:
    return [(Compaction, "_with_fate", lambda _, part: part)]


def control_state_is_not_carried() -> list[Change]:
    original = Compaction._finish

    def finish(self: Any, segment: Any) -> None:
        kept, self._controls = self._controls, Controls()
        original(self, segment)
        self._controls = kept

    return [(Compaction, "_finish", finish)]


def accept_time_is_not_carried() -> list[Change]:
    original = Compaction._finish

    def finish(self: Any, segment: Any) -> None:
        kept, self._accepted_us = self._accepted_us, lambda: 0
        original(self, segment)
        self._accepted_us = kept

    return [(Compaction, "_finish", finish)]


def segments_go_before_their_copies_are_synced() -> list[Change]:
    def unlink(self: Any) -> None:
        while self._doomed:
            _, segment = self._doomed.popleft()
            self._disk.unlink(segment.name)
            segment.gone = True

    return [(Log, "_unlink_doomed", unlink)]


def a_sync_is_believed_after_one_failed() -> list[Change]:
    original = recovery._Reading._rewrite

    def rewrite(self: Any, segment: Any) -> None:
        self._unsynced_from.clear()
        original(self, segment)

    return [(recovery._Reading, "_rewrite", rewrite)]


def every_word_of_a_death_is_a_death() -> list[Change]:
    original = Dispatcher._died
    numbers = count()

    def died(self: Any, key: str, key_seq: int, worker: str, boot: int) -> None:
        original(self, key, key_seq, f"{worker} {next(numbers)}", boot)

    return [(Dispatcher, "_died", died)]


def controls_end_as_events_do() -> list[Change]:
    return [(desk, "is_control", lambda _: False)]
