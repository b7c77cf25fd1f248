"""What the page shows of other pods besides their figures: their links, and what the operator decides."""

from __future__ import annotations

import logging
from collections.abc import Callable

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.connection import connect, get
from pipeline.errors import MissingError
from pipeline.web.frame import Report

log = logging.getLogger(__name__)
ANSWER_S = 2.0
"""The operator answers from memory."""


class Decision(Struct, frozen=True):
    at: str
    sentence: str


class Told(Struct, frozen=True):
    """The operator's answer; the fields that are read here, by their names there."""

    at: str
    sentence: str
    conditions: dict[str, str] = {}
    """Of those that are worth a word, the message by type."""
    decisions: tuple[Decision, ...] = ()
    """The last one first."""


_told = msgspec.json.Decoder(Told).decode


class OperatorClient:
    """What the operator says of one Pipeline. Belongs to one thread at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection, parts = connect(url, ANSWER_S)
        self._path = parts.path

    def newest(self) -> tuple[dict[str, str], ...]:
        """The last word, what is wrong, then the changes, the last one first. Raises MissingError."""
        asked = f"operator {self._url}"
        body = get(self._connection, self._path, limits.MAX_OPERATOR_ANSWER_BYTES, asked)
        try:
            told = _told(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._connection.close()
            raise MissingError(f"{asked}: not understood: {error}") from None
        words = [(told.at, told.sentence)]
        words += [(told.at, f"{kind}: {message}") for kind, message in told.conditions.items()]
        words += [(one.at, one.sentence) for one in told.decisions]
        shown = words[: limits.DECISIONS_SHOWN]
        return tuple({"at": at, "sentence": sentence} for at, sentence in shown if sentence)

    def close(self) -> None:
        self._connection.close()


class Elsewhere:
    """The last that was told; `look` asks again, and waits for answers."""

    def __init__(self, links: Callable[[], list[Report]], operator: OperatorClient | None) -> None:
        self._links = links
        self._operator = operator
        self.reports: list[Report] = []
        self.decisions: tuple[dict[str, str], ...] = ()

    def look(self) -> None:
        self.reports = self._links()
        if self._operator is not None:
            try:
                self.decisions = self._operator.newest()
            except MissingError as error:  # it is shown no more than it is known
                log.debug("page: %s", error)
                self.decisions = ()
