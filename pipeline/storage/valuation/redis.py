"""The valuation in Redis. Give the server `appendonly yes`, or it forgets with each restart.

Keys begin with `{prefix}:valuation`, in one slot of a cluster, so that every change is one transaction.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pipeline import valuation_limits
from pipeline.errors import MissingError
from pipeline.storage.valuation.store import (
    ChangedMeanwhileError,
    NavRow,
    Snapshot,
    StoreAwayError,
    StoredDomain,
)

_REPLACE = """
local stored = redis.call('HGET', KEYS[1], ARGV[1])
local version = 0
if stored then version = tonumber(string.match(stored, '^%d+')) end
if version ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[2])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
"""
"""KEYS: domains, the domain's values. ARGV: name, version expected, what to store (empty: nothing)."""


class RedisValuationStore:
    """A `ValuationStore`. A domain is stored as `version:body`, a value as `time:body`."""

    def __init__(self, client: Any, prefix: str) -> None:
        self._client = client
        self._base = "{" + prefix + "}:valuation"
        self._replace = client.register_script(_REPLACE)

    @classmethod
    def open(cls, url: str, prefix: str) -> Self:
        """`url` may hold a password: it is never logged. Raises StoreAwayError when the server is away."""
        try:
            redis = importlib.import_module("redis")
        except ImportError as error:
            raise MissingError(f"redis cannot be loaded ({error}): pip install 'ringline[redis]'") from None
        timeout_s = valuation_limits.VALUATION_STORE_S
        try:
            # Not tried again by the client: that would take its time several times over.
            retry = importlib.import_module("redis.retry").Retry(
                importlib.import_module("redis.backoff").NoBackoff(), 0
            )
            client = redis.Redis.from_url(
                url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=retry
            )
        except ValueError:
            raise StoreAwayError("valuation: the URL is no Redis URL") from None
        store = cls(client, prefix)
        with store._guarded():
            client.ping()
        return store

    def domains(self) -> dict[str, StoredDomain]:
        with self._guarded():
            stored: dict[bytes, bytes] = self._client.hgetall(f"{self._base}:domains")
        found = {}
        for name, value in stored.items():
            version, _, body = value.partition(b":")
            found[name.decode()] = StoredDomain(int(version), body)
        return found

    def put_domain(self, name: str, version: int, body: bytes) -> None:
        self._swap(name, version - 1, b"%d:%b" % (version, body))

    def delete_domain(self, name: str, version: int) -> None:
        self._swap(name, version, b"")

    def append_nav(self, rows: Sequence[NavRow], keep_since_us: int) -> None:
        with self._guarded(), self._client.pipeline(transaction=True) as changes:
            for row in rows:
                key = self._nav(row.domain)
                changes.zremrangebyscore(key, row.at_us, row.at_us)
                changes.zadd(key, {b"%d:%b" % (row.at_us, row.body): row.at_us})
            for name in {row.domain for row in rows}:
                changes.zremrangebyscore(self._nav(name), "-inf", f"({keep_since_us}")
            changes.execute()

    def nav(self, domain: str, since_us: int, until_us: int, limit: int) -> list[NavRow]:
        with self._guarded():
            values: list[bytes] = self._client.zrangebyscore(
                self._nav(domain), since_us, f"({until_us}", start=0, num=limit
            )
        rows = []
        for value in values:
            at_us, _, body = value.partition(b":")
            rows.append(NavRow(domain, int(at_us), body))
        return rows

    def put_snapshot(self, at_us: int, head: bytes, symbols: Mapping[str, bytes], *, clear: bool) -> None:
        with self._guarded(), self._client.pipeline(transaction=True) as changes:
            if clear:
                changes.delete(f"{self._base}:symbols")
            if symbols:
                changes.hset(f"{self._base}:symbols", mapping=dict(symbols))
            changes.set(f"{self._base}:head", b"%d:%b" % (at_us, head))
            changes.execute()

    def snapshot(self) -> Snapshot | None:
        with self._guarded(), self._client.pipeline(transaction=True) as reads:
            reads.get(f"{self._base}:head")
            reads.hgetall(f"{self._base}:symbols")
            value, symbols = reads.execute()
        if value is None:
            return None
        at_us, _, head = value.partition(b":")
        return Snapshot(int(at_us), head, {name.decode(): body for name, body in symbols.items()})

    def give_up(self) -> None:
        """Its socket's own time is up as well: the client closes it."""

    def close(self) -> None:
        self._client.close()

    def _nav(self, domain: str) -> str:
        return f"{self._base}:nav:{domain}"

    def _swap(self, name: str, expected: int, value: bytes) -> None:
        with self._guarded():
            keys = [f"{self._base}:domains", self._nav(name)]
            done = self._replace(keys=keys, args=[name, expected, value])
        if not done:
            raise ChangedMeanwhileError(f"domain {name}: was changed by somebody else meanwhile")

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        from redis import RedisError

        try:
            yield
        except RedisError as error:
            text = " ".join(str(error).split()) or type(error).__name__
            raise StoreAwayError(f"valuation in Redis: {text}") from None
