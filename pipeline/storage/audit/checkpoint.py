"""What a signed checkpoint says: "the chain had so many rows and ended in this hash".

The text is a C2SP checkpoint (c2sp.org/tlog-checkpoint): origin, size, base64 hash, a line each, then lines
of our own. The hash is the chain's last (see `chain`), not a tree's root.
"""

from __future__ import annotations

import base64
import binascii

from msgspec import Struct

from pipeline.delivery import DIGEST_BYTES
from pipeline.errors import RinglineError, UsageError

_KEPT, _ARCHIVED = "kept ", "archived "


class CheckpointError(RinglineError):
    """A checkpoint that does not prove anything: not signed by the key, or of another audit."""


class Kept(Struct, frozen=True):
    """What a prune left of the rows up to its checkpoint: how many, and the digest over them (`prunes`)."""

    rows: int
    digest: bytes


class Archived(Struct, frozen=True):
    """Rows `first` to `last` went to the archive `file`, where that was then."""

    first: int
    last: int
    file: str


class Checkpoint(Struct, frozen=True):
    """`size` rows, the last of which has hash `h`. `kept` and `archives`, oldest first, only where the rows
    before were pruned."""

    origin: str
    size: int
    h: bytes
    kept: Kept | None = None
    archives: tuple[Archived, ...] = ()

    @property
    def text(self) -> str:
        """What is signed."""
        lines = [self.origin, str(self.size), base64.b64encode(self.h).decode()]
        if self.kept is not None:
            lines.append(f"{_KEPT}{self.kept.rows} {base64.b64encode(self.kept.digest).decode()}")
        lines += [f"{_ARCHIVED}{one.first} {one.last} {one.file}" for one in self.archives]
        return "\n".join(lines) + "\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """The reverse of `Checkpoint.text`; unknown lines at the end are left out. Raises UsageError."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not lines[0]:
        raise UsageError("no checkpoint: expected the lines origin, size and hash")
    kept = None
    if lines[3].startswith(_KEPT):
        rows, _, digest = lines[3].removeprefix(_KEPT).partition(" ")
        kept = Kept(_number(rows), _digest(digest))
    archives = tuple(_archived(line) for line in lines[3:] if line.startswith(_ARCHIVED))
    return Checkpoint(lines[0], _number(lines[1]), _digest(lines[2]), kept, archives)


def _archived(line: str) -> Archived:
    first, _, rest = line.removeprefix(_ARCHIVED).partition(" ")
    last, _, file = rest.partition(" ")
    return Archived(_number(first), _number(last), file)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or (text[0] == "0" and text != "0"):
        raise UsageError(f"no checkpoint: {text[:32]!r} is no count of rows")
    return int(text)


def _digest(text: str) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != DIGEST_BYTES:
        raise UsageError(f"no checkpoint: {text[:64]!r} is no base64 of {DIGEST_BYTES} bytes")
    return digest
