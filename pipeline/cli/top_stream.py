"""What `ringline top` knows: the page's stream and the newest rows, kept up to date by a thread."""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from pipeline import limits
from pipeline.cli.feed_client import FeedClient
from pipeline.config import Config
from pipeline.connection import FAILURES, connect, no_answer
from pipeline.errors import MissingError, RinglineError
from pipeline.web.history import Place, go_on
from pipeline.web.view import HAPPENED, BookView, Frame, Point, Steps

ROWS = 12
SILENT_S = 15.0
"""A stream tells something twice a second; after this it is given up and opened again."""
AGAIN_S = 1.0
FIRST_S = 10.0
STALE_MS = 3_000
"""What is older than this is no longer what is."""


class Hello(Struct):
    """What a stream begins with, as far as it matters here."""

    epoch: str = ""


class View(Struct):
    """All that a screen is drawn from. `heard_s` is when the frame came, on the monotonic clock; `epoch`
    names the server that tells now, `told_by` the one that told the last point."""

    url: str
    frame: Frame | None = None
    book: BookView | None = None
    steps: Steps | None = None
    points: deque[Point] = msgspec.field(default_factory=lambda: deque(maxlen=limits.PAGE_POINTS))
    rows: list[dict[str, Any]] = []
    heard_s: float = 0.0
    fault: str = ""
    epoch: str = ""
    told_by: str = ""

    @property
    def place(self) -> Place:
        """Where the points go on."""
        return Place(self.told_by, self.points[-1].number) if self.points else Place()

    def age_ms(self, now_s: float) -> float | None:
        """How old the collector's word is by now; None when there is none."""
        if self.frame is None or self.frame.age_ms is None:
            return None
        return self.frame.age_ms + 1000 * (now_s - self.heard_s)

    def stale(self, now_s: float) -> bool:
        """Whether what is shown is not what is."""
        age_ms = self.age_ms(now_s)
        return age_ms is None or age_ms > STALE_MS

    def whole(self, now_s: float) -> bool:
        """Whether there is nothing to wait for: all is there and added up, or nobody tells the rest."""
        if self.frame is None or self.book is None:
            return False
        book = self.book
        added_up = book.away or book.fault or (book.seq >= book.head and not book.keys_due)
        return bool(added_up) and (self.steps is not None or not self.frame.stages or self.stale(now_s))

    def take(self, name: str, data: bytes, now_s: float) -> None:
        """One event of the stream. Raises msgspec.MsgspecError for what is none of ours."""
        if name == "hello":
            self.epoch = msgspec.json.decode(data, type=Hello).epoch
        elif name == "frame":
            self.frame, self.heard_s = msgspec.json.decode(data, type=Frame), now_s
        elif name == "book":
            self.book = msgspec.json.decode(data, type=BookView)
        elif name == "steps":
            self.steps = msgspec.json.decode(data, type=Steps)
        elif name == "points":
            fresh = msgspec.json.decode(data, type=list[Point])
            go_on(self.points, fresh, same=self.epoch == self.told_by)
            self.told_by = self.epoch


class Source:
    """Where the page's server is."""

    def __init__(self, config: Config, url: str | None, token_env: str | None) -> None:
        """Raises UsageError and MissingError."""
        self.client = FeedClient(config, url, token_env)
        self._stop = threading.Event()

    def one(self, patience_s: float = FIRST_S) -> View:
        """The first whole view, of what was told since it asked; what there is of it after `patience_s`.
        Raises MissingError when nothing answers, and RinglineError."""
        view = View(self.client.url)
        deadline_s = time.monotonic() + patience_s
        for name, data in self.events(Place()):
            now_s = time.monotonic()
            view.take(name, data, now_s)
            if view.whole(now_s) or now_s > deadline_s:
                break
        view.rows = self.rows()
        return view

    def follow(self, view: View, changed: Callable[[], None]) -> None:
        """Keeps `view` up to date until `stop`; what is wrong meanwhile stands in its `fault`."""
        while not self._stop.is_set():
            try:
                for name, data in self.events(view.place):
                    view.take(name, data, time.monotonic())
                    view.fault = ""
                    if name == "book":
                        view.rows = self.rows()
                    changed()
                    if self._stop.is_set():
                        return
                view.fault = f"{self.client.url}: closed the stream"
            except (RinglineError, msgspec.MsgspecError) as error:
                view.fault = str(error)
            changed()
            self._stop.wait(AGAIN_S)

    def stop(self) -> None:
        self._stop.set()

    def rows(self) -> list[dict[str, Any]]:
        """The newest rows in which something happened, the newest first."""
        answer = self.client.get(f"/v1/rows?order=desc&limit={ROWS}{HAPPENED}")
        found: list[dict[str, Any]] = msgspec.json.decode(answer.body)["rows"]
        return found

    def events(self, after: Place) -> Iterator[tuple[str, bytes]]:
        """Name and data of every server-sent event. Raises MissingError and RinglineError."""
        connection, parts = connect(self.client.url, SILENT_S)
        path = f"{parts.path}/v1/live"
        try:
            connection.request("GET", f"{path}?after={after}", headers=dict(self.client.headers))
            answer = connection.getresponse()
            if answer.status != 200:
                raise RinglineError(f"GET {self.client.url}/v1/live: {answer.status} {answer.reason}")
            yield from _events(answer)
        except FAILURES as error:
            raise MissingError(no_answer(f"GET {self.client.url}/v1/live", error)) from None
        finally:
            connection.close()


def _events(answer: http.client.HTTPResponse) -> Iterator[tuple[str, bytes]]:
    name, data = "", b""
    while line := answer.readline(limits.MAX_SNAPSHOT_BYTES):
        line = line.rstrip(b"\r\n")
        if not line:
            if name:
                yield name, data
            name, data = "", b""
        elif line.startswith(b"event: "):
            name = line.removeprefix(b"event: ").decode("ascii", "replace")
        elif line.startswith(b"data: "):
            data = line.removeprefix(b"data: ")
