"""Counted things in sentences."""

from __future__ import annotations


def counted(count: int, thing: str) -> str:
    """`1 pod`, `2 pods`, `1,200 pods`: for words whose plural is an s more."""
    return f"{count:,} {plural(count, thing)}"


def plural(count: int, thing: str) -> str:
    """The word alone, as many as there are."""
    return thing if count == 1 else f"{thing}s"


def does(count: int, one: str, more: str) -> str:
    """The verb that goes with so many: `does(2, "is", "are")`."""
    return one if count == 1 else more


def answering(answered: int, expected: int, one: str, more: str) -> str:
    """`1 of 2 collectors answers in time`."""
    verb = does(answered, one, more)
    return f"{answered} of {counted(expected, 'collector')} {verb} in time"


def duration(milliseconds: int) -> str:
    """As people say it: `10 minutes`, `1 minute`, `90 s`, `1.5 s`, `250 ms`. Nothing is rounded away."""
    if milliseconds >= 60_000 and milliseconds % 60_000 == 0:
        return counted(milliseconds // 60_000, "minute")
    if milliseconds >= 1_000:
        return f"{milliseconds / 1000:,.3f}".rstrip("0").rstrip(".") + " s"
    return f"{milliseconds} ms"
