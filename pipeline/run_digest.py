"""The digest of a run: what was decided on what, whoever decided it and whenever.

Keys sorted; of each row key_seq, payload, decision and fills, each with its length before it. No ids, no
accept times, no states: two runs over the same events give the same digest, live or in a backtest.
"""

from __future__ import annotations

from hashlib import sha256

HEAD_TAIL = b",%d,%d;"
"""The end of what stands before a row's bytes: the lengths of decision and fills."""
ROW_HEAD = b"r%d,%d" + HEAD_TAIL
"""Before a row's bytes: key_seq and the lengths of payload, decision and fills."""


class RunDigest:
    """Add keys in their order, each key's rows in theirs. `update` is for bytes that are rows already."""

    __slots__ = ("_digest", "update")

    def __init__(self) -> None:
        self._digest = sha256(b"ringline run 1;")
        self.update = self._digest.update

    def key(self, name: str) -> None:
        """The rows that follow are those of `name`."""
        data = name.encode()
        self.update(b"k%d;%b" % (len(data), data))

    def row(self, key_seq: int, payload: bytes, decision: bytes, fills: bytes) -> None:
        lengths = (key_seq, len(payload), len(decision), len(fills))
        self.update(b"".join((ROW_HEAD % lengths, payload, decision, fills)))

    def hexdigest(self) -> str:
        return self._digest.hexdigest()
