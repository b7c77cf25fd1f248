"""An engine that forgets with its process. Public: for users' tests as well as ours.

`away` set makes every call fail as if a server were down.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from pipeline.storage.valuation.store import (
    ChangedMeanwhileError,
    NavRow,
    Snapshot,
    StoreAwayError,
    StoredDomain,
)


class MemoryValuationStore:
    """A `ValuationStore`."""

    def __init__(self) -> None:
        self.away = False
        self._domains: dict[str, StoredDomain] = {}
        self._nav: dict[str, dict[int, NavRow]] = defaultdict(dict)
        self._snapshot: Snapshot | None = None

    def domains(self) -> dict[str, StoredDomain]:
        self._answer()
        return dict(self._domains)

    def put_domain(self, name: str, version: int, body: bytes) -> None:
        self._answer()
        self._expect(name, version - 1)
        self._domains[name] = StoredDomain(version, body)

    def delete_domain(self, name: str, version: int) -> None:
        self._answer()
        self._expect(name, version)
        del self._domains[name]
        self._nav.pop(name, None)

    def append_nav(self, rows: Sequence[NavRow], keep_since_us: int) -> None:
        self._answer()
        for row in rows:
            of_domain = self._nav[row.domain]
            of_domain[row.at_us] = row
            while (oldest := next(iter(of_domain))) < keep_since_us:
                del of_domain[oldest]
                if not of_domain:
                    break

    def nav(self, domain: str, since_us: int, until_us: int, limit: int) -> list[NavRow]:
        self._answer()
        found = [row for at_us, row in sorted(self._nav[domain].items()) if since_us <= at_us < until_us]
        return found[:limit]

    def put_snapshot(self, at_us: int, head: bytes, symbols: Mapping[str, bytes], *, clear: bool) -> None:
        self._answer()
        before = {} if clear or self._snapshot is None else self._snapshot.symbols
        self._snapshot = Snapshot(at_us, head, {**before, **symbols})

    def snapshot(self) -> Snapshot | None:
        self._answer()
        return self._snapshot

    def give_up(self) -> None:
        pass

    def close(self) -> None:
        pass

    def _answer(self) -> None:
        if self.away:
            raise StoreAwayError("valuation in memory: away, as it was told to be")

    def _expect(self, name: str, version: int) -> None:
        stored = self._domains.get(name)
        if (stored.version if stored else 0) != version:
            raise ChangedMeanwhileError(f"domain {name}: was changed by somebody else meanwhile")
