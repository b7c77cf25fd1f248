"""Events of one's own: `register_event("checkout")` gives an id, and every ring of the process says its name.

Two processes may give one id to different names, or two ids to one; a reader goes by the names. They stand
in each ring's header, where `layout` has room for them:

    bytes used (64-bit word) │ id (2 bytes) │ length (1) │ name, UTF-8 │ id │ length │ name …

A name is appended whole, then `bytes used` is raised; nothing is ever changed or taken away.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

from pipeline import limits
from pipeline.telemetry.events import FIRST_USER_EVENT, EventID, known_event, name_event
from pipeline.telemetry.layout import NAMES_BYTES, RefusedRingError

_HEAD_BYTES = 3
_lock = threading.RLock()
"""Of those who register: a signal handler may while its own thread does. Reading takes no lock."""
_ids: dict[str, int] = {}
_records: dict[int, bytes] = {}
"""By id."""
_listeners: list[Callable[[], None]] = []


def register_event(name: str) -> int:
    """The id of an event of one's own, measured like those of EventID; for a name known already, the same.

    Raises ValueError for a name that is empty, too long, unprintable, one of EventID's or like what events
    without a name are called, and when there are too many.
    """
    if name in EventID.__members__:
        raise ValueError(f"event {name!r}: is EventID.{name} already")
    if (known := known_event(name)) is not None:
        raise ValueError(f"event {name!r}: so the event with the id {known} is called")
    encoded = name.encode()
    if not 0 < len(encoded) <= limits.MAX_NAME_CHARS or not name.isprintable():
        raise ValueError(f"event {name!r}: 1 to {limits.MAX_NAME_CHARS} bytes of printable text")
    with _lock:
        while True:
            if name in _ids:
                return _ids[name]
            event_id = FIRST_USER_EVENT + len(_records)
            record = event_id.to_bytes(2, "little") + bytes([len(encoded)]) + encoded
            used = sum(map(len, _records.copy().values()))
            if event_id > limits.MAX_EVENT_ID or used + len(record) > NAMES_BYTES:
                raise ValueError(
                    f"event {name!r}: the names of a process take at most {NAMES_BYTES} bytes, {used} are "
                    f"taken by {len(_records)} events, each with {_HEAD_BYTES} bytes beside its name"
                )
            if _records.setdefault(event_id, record) is record:  # else a signal handler has it
                break
        _ids[name] = event_id
        name_event(event_id, name)
        for listener in _listeners:
            listener()
        return event_id


def on_register(listener: Callable[[], None]) -> None:
    """Call this whenever an event was registered from now on."""
    _listeners.append(listener)


def registered() -> bytes:
    """The records of all that is registered: what they began with once, they always begin with."""
    return b"".join(_records.copy().values())


def _after_fork_in_child() -> None:
    """Whoever held the lock is not there any more."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def parse_names(records: bytes) -> dict[int, str]:
    """Id → name. Raises RefusedRingError when these are no records of ours."""
    found: dict[int, str] = {}
    at = 0
    while at < len(records):
        event_id = int.from_bytes(records[at : at + 2], "little")
        end = at + _HEAD_BYTES + (records[at + 2] if at + 2 < len(records) else len(records))
        try:
            name = records[at + _HEAD_BYTES : end].decode()
        except UnicodeDecodeError:
            name = ""
        usable = FIRST_USER_EVENT <= event_id <= limits.MAX_EVENT_ID and end <= len(records)
        if not usable or not name or not name.isprintable() or event_id in found:
            raise RefusedRingError("bad_names", repr(records[at:end]))
        found[event_id] = name
        at = end
    return found
