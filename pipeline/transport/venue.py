"""Answers from outside that a step has to wait for, a bounded number at a time. Pure: time comes in.

What waits for a free place takes it at the moment at which it became free, however late anybody looked: so
the rate is places ÷ latency, whatever the loop's own pace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from pipeline.delivery import Delivery

T = TypeVar("T")


class Venue(Generic[T]):
    """A simulated venue: it answers every order after the same time, `places` orders at a time."""

    def __init__(
        self,
        latency_ns: int,
        places: int,
        *,
        wants: Callable[[Delivery], bool],
        on_answer: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`wants`: whether a delivery orders anything. `on_answer(waited ns)` comes before its step."""
        self.wants = wants
        self._on_answer = on_answer
        self._latency_ns = latency_ns
        self._places = places
        self._asked: deque[tuple[int, T]] = deque()
        """(when it is answered, what), in the order of answers: all take the same time."""
        self._waiting: deque[tuple[int, T]] = deque()
        """(since when it waits, what)"""

    def ask(self, what: T, now_ns: int) -> None:
        """Sends it off, or has it wait for a place."""
        if len(self._asked) < self._places:
            self._asked.append((now_ns + self._latency_ns, what))
        else:
            self._waiting.append((now_ns, what))

    def answered(self, now_ns: int) -> list[T]:
        """What has been answered by now, in order."""
        found = []
        while self._asked and self._asked[0][0] <= now_ns:
            due_ns, what = self._asked.popleft()
            found.append(what)
            if self._waiting:
                since_ns, following = self._waiting.popleft()
                self._asked.append((max(due_ns, since_ns) + self._latency_ns, following))
        return found

    def answering(self) -> None:
        """The step of something that was answered comes next: its latency is part of it."""
        self._on_answer(self._latency_ns)

    @property
    def due_ns(self) -> int | None:
        """When the next answer comes; None while none is awaited."""
        return self._asked[0][0] if self._asked else None

    def __len__(self) -> int:
        return len(self._asked) + len(self._waiting)
