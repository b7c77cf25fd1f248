"""Frames that were none of ours: the last few of each worker are kept for whoever looks into it."""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline import limits

log = logging.getLogger(__name__)


class MalformedFrames:
    """A bounded folder: the newest MAX_MALFORMED_FRAMES of a worker, each cut at MAX_MALFORMED_BYTES."""

    def __init__(self, directory: Path, worker: str) -> None:
        self._directory = directory
        self._worker = worker
        self._count = 0

    def keep(self, frame: bytes) -> None:
        """Never raises: a full disk must not turn a stranger's bytes into our failure."""
        path = self._directory / f"{self._worker}-{self._count % limits.MAX_MALFORMED_FRAMES}.frame"
        self._count += 1
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            path.write_bytes(frame[: limits.MAX_MALFORMED_BYTES])
        except OSError as error:
            log.warning("malformed frame not kept in %s: %s", path, error)
