"""A segment as kept in memory: how full it is and what of it still matters."""

from __future__ import annotations

from pipeline.storage.journal.layout import HEADER_BYTES, segment_name


class Segment:
    """`live` parts are not settled, `live_bytes` their share of the records; `known` identities were put
    here, the newest accepted at `newest_us`; `keys` have their latest KEYS record here. `exists` once the
    file is there, `gone` once it is unlinked.
    """

    __slots__ = (
        "exists",
        "filled",
        "first_sequence",
        "gone",
        "keys",
        "known",
        "live",
        "live_bytes",
        "newest_us",
        "number",
        "salt",
        "size",
    )

    def __init__(self, number: int, size: int, first_sequence: int, salt: int, *, exists: bool) -> None:
        self.number = number
        self.size = size
        self.first_sequence = first_sequence
        self.salt = salt
        self.exists = exists
        self.gone = False
        self.filled = HEADER_BYTES
        self.live = 0
        self.live_bytes = 0
        self.known = 0
        self.newest_us = 0
        self.keys: set[str] = set()

    @property
    def name(self) -> str:
        return segment_name(self.number)
