"""Signed notes (c2sp.org/signed-note) with Ed25519: a text, an empty line, a line for each signature.

    — name base64(key id, 4 bytes ‖ signature, 64 bytes)

The key id is the start of sha256(name ‖ 0x0A ‖ 0x01 ‖ public key). Keys are written as Go's `note` package
writes them, so that its tools read ours: `name+id+base64(0x01 ‖ public)`, and for the private half
`PRIVATE+KEY+name+id+base64(0x01 ‖ seed)`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pipeline.errors import MissingError, UsageError
from pipeline.storage.atomic import create_file
from pipeline.storage.audit.checkpoint import Checkpoint, CheckpointError, parse_checkpoint

_ED25519 = b"\x01"
_KEY_BYTES = 32
_PRIVATE = "PRIVATE+KEY+"
_DASH = "\N{EM DASH} "
MAX_NOTE_BYTES = 64 * 1024


class VerifyKey:
    """The public half: opens notes."""

    def __init__(self, name: str, public: bytes) -> None:
        self.name = name
        self._public = public
        self.key_id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]

    @classmethod
    def parse(cls, text: str) -> VerifyKey:
        """Raises UsageError when `text` is no public key of a signed note."""
        name, _, rest = text.strip().partition("+")
        key_id, _, data = rest.partition("+")
        key = cls(name, _key_bytes(data, "public"))
        if not name or key.key_id.hex() != key_id:
            raise UsageError(f"no public key: {text[:80]!r}; expected NAME+ID+BASE64")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self._public).decode()}"

    def open(self, note: str) -> Checkpoint:
        """The checkpoint in `note`. Raises UsageError when it is none, CheckpointError when it is not signed
        by this key, or of another origin."""
        text, empty, signatures = note.rpartition("\n\n")
        if not empty:
            raise UsageError("no signed checkpoint: expected an empty line before the signatures")
        text += "\n"
        if not any(self._signed(text, line) for line in signatures.splitlines()):
            raise CheckpointError(f"the checkpoint is not signed by the key {self.name}+{self.key_id.hex()}")
        checkpoint = parse_checkpoint(text)
        if checkpoint.origin != self.name:
            raise CheckpointError(f"the checkpoint is of {checkpoint.origin}, not of {self.name}")
        return checkpoint

    def _signed(self, text: str, line: str) -> bool:
        name, _, data = line.removeprefix(_DASH).partition(" ")
        if not line.startswith(_DASH) or name != self.name:
            return False
        signature = _decoded(data)
        if signature[:4] != self.key_id:
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self._public).verify(signature[4:], text.encode())
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """The private half. Never log it."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verify_key = VerifyKey(name, self._private.public_key().public_bytes_raw())

    @classmethod
    def load(cls, file: Path, name: str) -> SigningKey:
        """The key in `file`, made for its owner only when there is none. Raises MissingError."""
        try:
            if not file.exists():
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                made = cls(name, Ed25519PrivateKey.generate().private_bytes_raw())
                create_file(file, made._text().encode())
            text = file.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "is no text"
            raise MissingError(f"signing key {file}: {reason}") from None
        parts = text.strip().removeprefix(_PRIVATE).split("+", 2)
        try:
            key = cls(parts[0], _key_bytes(parts[-1], "private"))
        except UsageError:
            raise MissingError(f"signing key {file}: holds no signing key") from None
        if key.verify_key.name != name:
            raise MissingError(f"signing key {file}: is of {key.verify_key.name}, audit.origin is {name}")
        return key

    def sign(self, checkpoint: Checkpoint) -> str:
        """The signed note."""
        signature = self.verify_key.key_id + self._private.sign(checkpoint.text.encode())
        return f"{checkpoint.text}\n{_DASH}{self.verify_key.name} {base64.b64encode(signature).decode()}\n"

    def _text(self) -> str:
        key = self.verify_key
        return f"{_PRIVATE}{key.name}+{key.key_id.hex()}+{base64.b64encode(_ED25519 + self._seed).decode()}\n"


def _decoded(text: str) -> bytes:
    """Of base64 in its one canonical form; empty when it is none."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if base64.b64encode(data) == text.encode() else b""


def _key_bytes(data: str, kind: str) -> bytes:
    key = _decoded(data)
    if len(key) != 1 + _KEY_BYTES or key[:1] != _ED25519:
        raise UsageError(f"no {kind} key: expected base64 of an Ed25519 key")
    return key[1:]
