"""An exclusive lock on a folder or file, held for as long as its holder lives and no longer."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from pipeline.errors import MissingError


def lock_file(path: Path, what: str) -> int:
    """Create `path` where needed and lock it; the lock ends when the returned descriptor is closed.

    Raises MissingError when somebody else holds it or the file cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise MissingError(f"{what} {path}: cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise MissingError(f"{what} {path}: in use by another process; only one may have it") from None
    return descriptor
