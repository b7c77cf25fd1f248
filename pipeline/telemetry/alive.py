"""Objects that live, looked through at any time: by any thread, a signal handler, a gc callback.

A WeakSet that somebody adds to while it is looked through raises, and a lock would be waited for by a signal
handler that interrupts its holder. Each step here is one operation on a dict, which nothing comes in between.
"""

from __future__ import annotations

import weakref
from typing import Generic, TypeVar

T = TypeVar("T")


class Alive(Generic[T]):
    """Holds none of them alive."""

    def __init__(self) -> None:
        self._found: dict[int, weakref.ref[T]] = {}
        """By id: whoever has that id next is added after this one's reference has been called back."""

    def add(self, one: T) -> None:
        """Until it is discarded, or gone."""
        key, found = id(one), self._found
        found[key] = weakref.ref(one, lambda _: found.pop(key, None))

    def discard(self, one: T) -> None:
        """It need not be there."""
        self._found.pop(id(one), None)

    def all(self) -> list[T]:
        """Those that are there at this moment."""
        return [one for found in list(self._found.values()) if (one := found()) is not None]
