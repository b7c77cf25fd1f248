"""Writes signed checkpoints of a growing chain, and finds them again.

Whoever may write to `data_dir` may also sign: a checkpoint proves the most where it was copied to another
machine (`audit.checkpoint_file` may be on a share), verified with a public key that was copied too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from pipeline import limits
from pipeline.clock import NS_PER_S
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.storage.atomic import replace_file
from pipeline.storage.audit.chain import Link
from pipeline.storage.audit.checkpoint import Checkpoint
from pipeline.storage.audit.note import MAX_NOTE_BYTES, SigningKey, VerifyKey
from pipeline.storage.audit.reader import AuditReader

log = logging.getLogger(__name__)

_SUFFIX = ".checkpoint"


def checkpoint_folder(config: Config) -> Path:
    return Path(config.data_dir) / "checkpoints"


def public_key_file(config: Config) -> Path:
    return checkpoint_folder(config) / "audit.vkey"


def load_signing_key(config: Config) -> SigningKey:
    """The audit's own key, made on the first call; its public half is written beside the checkpoints.

    Raises MissingError.
    """
    named = config.audit.signing_key_file
    own = Path(named) if named else Path(config.data_dir) / "secrets" / "audit.key"
    key = SigningKey.load(own, config.audit.origin)
    file = public_key_file(config)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        text = f"{key.verify_key}\n".encode()
        if not file.exists() or file.read_bytes() != text:
            replace_file(file, text)
    except OSError as error:
        raise MissingError(f"public key {file}: {error.strerror}") from None
    return key


def load_public_key(file: Path) -> VerifyKey:
    """Raises MissingError when there is none."""
    return VerifyKey.parse(read_note(file))


def read_note(file: Path) -> str:
    """A checkpoint's or public key's file. Raises MissingError."""
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_NOTE_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise MissingError(f"{file}: {getattr(error, 'strerror', None) or 'is no UTF-8 text'}") from None


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in `folder`."""
    return max(folder.glob(f"*{_SUFFIX}"), default=None)


def contradiction(reader: AuditReader, key: VerifyKey, folder: Path) -> str:
    """How the audit differs from the newest checkpoint in `folder`; empty when it does not, or there is none.

    Raises RinglineError when the checkpoint or the audit cannot be read.
    """
    newest = latest(folder)
    if newest is None:
        return ""
    signed, end = key.open(read_note(newest)), reader.head()
    if end.seq < signed.size:
        return f"it has {end.seq} rows, and {signed.size} were signed"
    found, pruned = reader.link(signed.size), reader.pruned(key)
    if found is None and pruned is not None and pruned.size >= signed.size:
        return ""
    return "" if found == (signed.size, signed.h) else f"row {signed.size} is not the one that was signed"


def set_aside(reader: AuditReader, key: VerifyKey, folder: Path) -> list[Path]:
    """Moves the checkpoints that the audit contradicts to `folder/superseded`: after a restore its chain is
    another one from the backup on. They stay proofs of what was there before.

    Raises RinglineError when one or the audit cannot be read, MissingError when one cannot be moved.
    """
    moved: list[Path] = []
    pruned = reader.pruned(key)
    for file in sorted(folder.glob(f"*{_SUFFIX}"), reverse=True):
        signed = key.open(read_note(file))
        found = reader.link(signed.size)
        if found == (signed.size, signed.h) or (pruned is not None and signed.size <= pruned.size):
            break
        aside = folder / "superseded" / file.name
        try:
            aside.parent.mkdir(exist_ok=True)
            file.replace(aside)
        except OSError as error:
            raise MissingError(f"{file}: cannot be moved: {error.strerror}") from None
        moved.append(aside)
    return moved


class CheckpointWriter:
    """Signs the end of the chain every `audit.checkpoint_every_s` if it moved. What cannot be written is
    reported and tried again: the audit goes on."""

    def __init__(
        self,
        config: Config,
        key: SigningKey,
        chain: Callable[[], Link],
        give: Callable[[bytes], None] | None = None,
    ) -> None:
        """`give` gets each note as well, to be sent somewhere; it must not wait."""
        self._give = give
        self._key = key
        self._chain = chain
        self._folder = checkpoint_folder(config)
        self._copy = Path(config.audit.checkpoint_file) if config.audit.checkpoint_file else None
        self._every_ns = config.audit.checkpoint_every_s * NS_PER_S
        self._due_ns = 0
        self._written = self._last_size()

    def tick(self, now_ns: int) -> None:
        """Call it often; `now_ns` is monotonic."""
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + self._every_ns
            self.write()

    def write(self) -> None:
        """One now, if the chain has grown."""
        link = self._chain()
        if link.seq <= self._written:
            return
        note = self._key.sign(Checkpoint(self._key.verify_key.name, link.seq, link.h)).encode()
        try:
            replace_file(self._folder / f"{link.seq:018d}{_SUFFIX}", note)
            self._forget_old()
            if self._copy is not None:
                replace_file(self._copy, note)
        except OSError as error:
            log.warning("checkpoint of row %d: cannot be written: %s", link.seq, error)
            return
        self._written = link.seq
        if self._give is not None:
            self._give(note)

    def _last_size(self) -> int:
        file = latest(self._folder)
        return int(file.name.removesuffix(_SUFFIX)) if file is not None else 0

    def _forget_old(self) -> None:
        for file in sorted(self._folder.glob(f"*{_SUFFIX}"))[: -limits.MAX_CHECKPOINTS]:
            file.unlink(missing_ok=True)
