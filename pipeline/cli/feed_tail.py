"""Follows the feed over any number of connections: each goes on where the one before ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from msgspec import Struct
from websockets.exceptions import ConnectionClosed

from pipeline.cli.feed_client import FeedClient, receive
from pipeline.errors import MissingError, RinglineError

Show = Callable[[dict[str, Any]], None]


class _Seen(Struct, frozen=True):
    """What an account of the rows needs to know of one."""

    seq: int
    h: bytes


class Following:
    """What was received so far, and where to go on."""

    def __init__(
        self, start: int | None, keys: tuple[str, ...], outcomes: tuple[str, ...], limit: int | None
    ) -> None:
        from pipeline.stages.feed.manifest import Account, Wanted

        self._account_of = Account
        self._wanted = Wanted(keys=keys, outcomes=outcomes)
        self._start = start
        self._limit = limit
        self._last_hash = ""
        self.account: Account | None = None
        self.rows = 0

    @property
    def next(self) -> int:
        return self.account.next if self.account is not None else self._start or 1

    @property
    def complete(self) -> bool:
        return self._limit is not None and self.rows >= self._limit

    def once(self, client: FeedClient, show: Show) -> None:
        """One connection, until it ends in good order or the limit is reached.

        Raises MissingError when it cannot be made or breaks, RinglineError when the feed does not go on from
        there or a row is not the next one.
        """
        wanted = {"key": self._wanted.keys, "outcome": self._wanted.outcomes}
        start = self.next if self.account is not None else self._start
        exact = (
            self.account is not None and self._last_hash and self.account.manifest().last_seq == self.next - 1
        )
        after_hash = self._last_hash if exact else None
        with client.connect(**{"from": start}, after_hash=after_hash, **wanted) as connection:
            try:
                while not self.complete:
                    message, _ = receive(connection)
                    self._take(message, show)
            except ConnectionClosed as error:
                if error.rcvd is None:
                    raise MissingError(
                        f"{client.url}: the connection was lost; row {self.next} is next"
                    ) from None
                if error.rcvd.code not in (1000, 1001, 1012):
                    raise RinglineError(f"{client.url}: {error.rcvd.reason or error.rcvd.code}") from None

    def _take(self, message: dict[str, Any], show: Show) -> None:
        kind = message["type"]
        if kind == "hello" and self.account is None:
            now_us = time.time_ns() // 1000
            self.account = self._account_of(message["session"], now_us, message["start"], self._wanted)
        account = self.account
        if account is None:
            return
        if kind == "heartbeat":
            account.skip(message["next"] - 1)
        elif kind == "row":
            seq = message["seq"]
            filtered = self._wanted.keys or self._wanted.outcomes
            if seq < account.next or (seq != account.next and not filtered):
                raise RinglineError(f"row {seq} came where row {account.next} was due")
            account.add(_Seen(seq, bytes.fromhex(message["hash"])))
            self._last_hash = message["hash"]
            self.rows += 1
            show(message)
