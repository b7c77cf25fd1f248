"""Whose the replicas of a StatefulSet are: told from changes of the value, and from field managers."""

from __future__ import annotations

from pipeline_operator.kube.client import FIELD_MANAGER
from pipeline_operator.runtime.seen import SeenSet, version_number


class KnownReplicas:
    """What we know the replicas of one target to be: written by us, or seen. Anything else is foreign.

    Ownership of the field alone proves nothing: whoever creates a StatefulSet owns even the default of 1, and
    every later change of that owner renews the time beside it.

    What is older than what we know proves nothing: the watch of StatefulSets may lag behind the status in
    which a former operator left word, and shows then, as somebody else's, what was there before its write.

    What the release itself put back is nobody's wish: `put_back_from` says what there was.
    """

    __slots__ = ("_live", "_version", "foreign_us", "known", "put_back_from", "uid")

    def __init__(self, uid: str, known: int | None, version: str = "") -> None:
        """`known` is what a former operator left word of, seen at `version`; None when there was none."""
        self.uid = uid
        self.known = known
        self._version = version_number(version)
        self.foreign_us: int | None = None
        """When somebody else last changed the value; None: nobody did."""
        self.put_back_from: int | None = None
        """What its release took them down from, until we have written again; None: it did not."""
        self._live = False

    def look(self, seen: SeenSet, now_us: int) -> None:
        """Compare with what is there now."""
        if version_number(seen.version) < self._version:
            return
        self._version = version_number(seen.version)
        theirs = seen.is_shared or not seen.is_ours
        if self.known is not None and seen.replicas != self.known and theirs:
            if not seen.is_put_back:
                self.put_back_from = None
                self.foreign_us = now_us if self._live else _last_write_us(seen, now_us)
            elif seen.replicas < self.known:
                self.put_back_from = max(self.known, self.put_back_from or 0)
        self.known = seen.replicas
        self._live = True

    def wrote(self, replicas: int, version: str = "") -> None:
        """Ourselves; `version` is what it made of the StatefulSet."""
        self.known = replicas
        self.put_back_from = None
        self._version = max(self._version, version_number(version))


def _last_write_us(seen: SeenSet, now_us: int) -> int:
    """While nobody watched: when the others wrote last, by the API server's clock, which may be off."""
    times = [at_us for manager, at_us in seen.owners if manager != FIELD_MANAGER and at_us]
    return min(now_us, max(times)) if times else now_us
