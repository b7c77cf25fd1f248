"""The audit of a configuration, opened for as long as a command reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from pipeline.config import Config
from pipeline.storage.audit import AuditReader
from pipeline.storage.audit.engines import open_reader


@contextlib.contextmanager
def open_audit(config: Config) -> Iterator[AuditReader]:
    """Opens it read-only, also while the pipeline runs. Raises MissingError when there is none."""
    reader = open_reader(config)
    try:
        yield reader
    finally:
        reader.close()
