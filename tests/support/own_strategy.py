"""A strategy of somebody's own as a file; it does what a test wants when imported, made or stepped."""

from __future__ import annotations

from pathlib import Path

CODE = """
import ctypes, os, signal, sys, time
{imported}
from msgspec import Struct

class Notes(Struct, frozen=True):
    seen: int = 0

class Mine:
    memory = Notes
    def __init__(self):
        {made}
    def origin(self):
        return Notes()
    def step(self, memory, candle):
        if memory.seen == 2:
            {body}
        return Notes(memory.seen + 1), None
    def price(self, mark, bars):
        return mark
"""


def write_strategy(folder: Path, *, body: str = "pass", made: str = "pass", imported: str = "pass") -> str:
    """Its source, for a configuration. `body` is what the third step does."""
    code = CODE.replace("{body}", body).replace("{made}", made).replace("{imported}", imported)
    (folder / "mine.py").write_text(code)
    return f"{folder}/mine.py:Mine"
