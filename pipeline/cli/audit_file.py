"""The audit of a configuration, opened for as long as a command reads it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.storage.audit import AuditReader
from pipeline.storage.audit.engines import open_reader

if TYPE_CHECKING:
    from pipeline.storage.audit.note import VerifyKey


@contextlib.contextmanager
def open_audit(config: Config) -> Iterator[AuditReader]:
    """Opens it read-only, also while the pipeline runs. Raises MissingError when there is none."""
    reader = open_reader(config)
    try:
        yield reader
    finally:
        reader.close()


def find_public_key(config: Config, file: str | None) -> VerifyKey:
    """The key in `file`, else the one beside the checkpoints. Raises MissingError."""
    from pipeline.storage.audit.checkpoints import load_public_key, public_key_file

    return load_public_key(Path(file) if file else public_key_file(config))


def read_checkpoint(config: Config, name: str) -> str:
    """The note in the file `name`, or in the newest of data_dir/checkpoints when it is "latest"."""
    from pipeline.storage.audit.checkpoints import checkpoint_folder, latest, read_note

    if name != "latest":
        return read_note(Path(name))
    folder = checkpoint_folder(config)
    newest = latest(folder)
    if newest is None:
        raise MissingError(f"checkpoints in {folder}: there are none yet")
    return read_note(newest)
