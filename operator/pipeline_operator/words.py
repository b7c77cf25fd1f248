"""Counted things in sentences."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """`1 pod`, `2 pods`, `1,200 pods`: for words whose plural is an s more."""
    return f"{count:,} {plural(count, thing)}"


def plural(count: int, thing: str) -> str:
    """The word alone, as many as there are."""
    return thing if count == 1 else f"{thing}s"


def duration(milliseconds: int) -> str:
    """As people say it: `10 minutes`, `1 minute`, `90 s`, `1.5 s`, `250 ms`. Nothing is rounded away."""
    if milliseconds >= 60_000 and milliseconds % 60_000 == 0:
        return counted(milliseconds // 60_000, "minute")
    if milliseconds >= 1_000:
        return f"{milliseconds / 1000:,.3f}".rstrip("0").rstrip(".") + " s"
    return f"{milliseconds} ms"
