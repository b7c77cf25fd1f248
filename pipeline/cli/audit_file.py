"""Where the audit of a configuration is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.config import Config
from pipeline.storage.audit import AuditReader

FILE = "audit.sqlite"


@contextlib.contextmanager
def open_audit(config: Config) -> Iterator[AuditReader]:
    """Opens it read-only, also while the pipeline runs. Raises MissingError when there is none."""
    reader = AuditReader.open(Path(config.data_dir) / FILE)
    try:
        yield reader
    finally:
        reader.close()
