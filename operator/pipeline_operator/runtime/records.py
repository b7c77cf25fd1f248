"""Where decision records go: JSON lines to standard output or into a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO, cast

from pipeline.errors import MissingError
from pipeline_operator import limits
from pipeline_operator.record import Record, encode_record


class RecordLog:
    """`where`: a path, `-` for standard output, or nothing. A full file is kept once, as `NAME.1`."""

    def __init__(self, where: str) -> None:
        self._path = Path(where) if where not in ("", "-") else None
        self._out: BinaryIO | None = sys.stdout.buffer if where == "-" else None
        self._size = 0
        self._torn = False
        """The last line is not whole: the next one begins anew."""
        self.fault = ""
        """Why the last record was not written."""
        if self._path is not None:
            self._open(self._path)

    def write(self, record: Record) -> None:
        """Never raises: a full disk must not stop the scaling."""
        if self._out is None:
            return
        line = (b"\n" if self._torn else b"") + encode_record(record)
        try:
            written = self._out.write(line)
            self._out.flush()
            self._torn = written < len(line)
            self._size += written
            if self._path is not None and self._size >= limits.MAX_RECORD_FILE_BYTES:
                self._out.close()
                self._path.replace(f"{self._path}.1")
                self._open(self._path)
            self.fault = ""
        except (OSError, ValueError) as error:
            self.fault = str(error)

    def close(self) -> None:
        if self._path is not None and self._out is not None:
            self._out.close()

    def _open(self, path: Path) -> None:
        try:
            # Unbuffered: what could not be written is not tried again with the next line.
            self._out = cast(BinaryIO, open(path, "ab", buffering=0))  # noqa: SIM115 - closed by `close`
            self._size = path.stat().st_size
        except OSError as error:
            raise MissingError(f"--records {path}: {error.strerror}") from None
