"""The audit of a run as the job sees it: how long it is, what is in it, whether it verifies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.config import Config
from pipeline.delivery import Delivery
from pipeline.errors import MissingError
from pipeline.storage.audit import AuditReader
from pipeline.storage.audit.engines import open_reader


class Verified(NamedTuple):
    """Whether the chain holds, what is wrong if not, and the digest of the run."""

    ok: bool
    detail: str
    digest: str


class AuditView:
    """Reads the audit of a configuration while its writer runs, and after. Opens it when first asked."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reader: AuditReader | None = None

    def length(self) -> int:
        """Rows now; 0 as long as there is no audit."""
        try:
            return self._open().head().seq
        except MissingError:
            return 0

    def rows(self) -> Iterator[Delivery]:
        """Every row, by key, each key's in its order."""
        return self._open().deliveries()

    def verify(self) -> Verified:
        """Recomputes the whole chain and the run digest."""
        reader = self._open()
        report = reader.verify()
        return Verified(report.ok, report.detail, reader.run_digest())

    def close(self) -> None:
        """Idempotent; it opens again when asked again."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _open(self) -> AuditReader:
        if self._reader is None:
            self._reader = open_reader(self._config)
        return self._reader
