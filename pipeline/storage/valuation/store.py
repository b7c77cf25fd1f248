"""What an engine of the valuation does. Bodies are the valuation's own; no engine looks into them.

Every call happens whole or not at all, and is on disk (as far as the engine keeps anything) when it returns.
All raise StoreAwayError when the engine does not answer; the same call may be made again. One thread calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from pipeline.errors import MissingError, RinglineError


class StoreAwayError(MissingError):
    """The engine cannot be had now."""


class UnansweredError(StoreAwayError):
    """A call was begun and not answered in time: whether it has happened shows when the engine is back."""


class ChangedMeanwhileError(RinglineError):
    """Somebody else stored another version of this domain."""


class StoredDomain(NamedTuple):
    version: int
    body: bytes


class NavRow(NamedTuple):
    """What a domain was worth at `at_us` (µs since the epoch). Stored again it is stored once."""

    domain: str
    at_us: int
    body: bytes


class Snapshot(NamedTuple):
    """The newest state: `head`, and the last body of every symbol that was ever stored since a clear one."""

    at_us: int
    head: bytes
    symbols: Mapping[str, bytes]


class ValuationStore(Protocol):
    """One pipeline's valuation."""

    def domains(self) -> dict[str, StoredDomain]:
        """All of them."""

    def put_domain(self, name: str, version: int, body: bytes) -> None:
        """Stores `version`, which has to follow the one that is stored (1: there is none).

        Raises ChangedMeanwhileError.
        """

    def delete_domain(self, name: str, version: int) -> None:
        """Takes out a domain whose newest version is `version`, with its values. Raises
        ChangedMeanwhileError."""

    def append_nav(self, rows: Sequence[NavRow], keep_since_us: int) -> None:
        """Stores values, and may take out older ones than `keep_since_us`."""

    def nav(self, domain: str, since_us: int, until_us: int, limit: int) -> list[NavRow]:
        """Values from `since_us` on and before `until_us`, oldest first, `limit` at most."""

    def put_snapshot(self, at_us: int, head: bytes, symbols: Mapping[str, bytes], *, clear: bool) -> None:
        """Replaces the head and these symbols; with `clear` all others go."""

    def snapshot(self) -> Snapshot | None:
        """The newest; None before the first."""

    def give_up(self) -> None:
        """From another thread, while a call waits for the engine: it ends as soon as can be, with
        StoreAwayError, and the next one begins on a connection of its own."""

    def close(self) -> None:
        """No further calls."""
