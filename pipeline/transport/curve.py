"""Keys of the links: who may speak on one, and what makes it unreadable for everybody else (CURVE).

One file for all workers of an installation, one secret a line. A key pair follows from each secret, the same
for whoever holds it, so a file is all that has to be handed out and nothing has to be exchanged: every
worker serves with the pair of the first line, accepts peers that prove any of them (ZAP, `guard`), and tries
the lines in turn where it connects. Whoever holds the file is the pipeline; nobody else gets past the
handshake. CURVE's session keys are fresh for each connection: a file that leaks later opens no old record.

Rotation, with all workers restarted after each step and at no moment without a common key:
`--rotate add` (a second line, accepted), `--rotate use` (it comes first), `--rotate retire` (it stays alone).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from hashlib import blake2b, sha256
from pathlib import Path

import zmq
from msgspec import Struct
from zmq.utils import z85

from pipeline import limits
from pipeline.config.schema import Links
from pipeline.errors import MissingError

SECRET_BYTES = 48
_PERSON = b"ringline-link-1"


class LinkKey(Struct, frozen=True):
    """A key pair in Z85, as ZeroMQ takes it, and the public key as ZAP tells it."""

    public: bytes
    secret: bytes
    raw_public: bytes

    @classmethod
    def of(cls, text: bytes) -> LinkKey:
        """The pair that follows from a secret: any bytes of at least MIN_LINK_SECRET_BYTES."""
        # Any 32 bytes are a Curve25519 secret; the hash spreads whatever entropy the text has over them.
        secret = z85.encode(blake2b(text, digest_size=32, person=_PERSON).digest())
        public = zmq.curve_public(secret)
        return cls(public, secret, z85.decode(public))

    @property
    def fingerprint(self) -> str:
        """Names a key in public, as `ssh-keygen -l` does."""
        return sha256(self.raw_public).hexdigest()[:16]


LinkKeys = tuple[LinkKey, ...]
"""The first is used, all are accepted; empty: plain text."""


def new_secret() -> bytes:
    """One line of a key file."""
    return secrets.token_urlsafe(SECRET_BYTES).encode()


def secrets_in(data: bytes, origin: str) -> list[bytes]:
    """The secrets in the bytes of a key file, in their order; empty lines and those with # are left out.

    Raises MissingError, which names `origin` and no secret.
    """
    lines = [line.strip() for line in data.splitlines()]
    found = [line for line in lines if line and not line.startswith(b"#")]
    for number, line in enumerate(found, 1):
        if len(line) < limits.MIN_LINK_SECRET_BYTES:
            raise MissingError(
                f"{origin}: key {number} has {len(line)} bytes; at least {limits.MIN_LINK_SECRET_BYTES}, "
                "as `ringline keys links FILE` makes them"
            )
    if not 1 <= len(found) <= limits.MAX_LINK_KEYS:
        raise MissingError(f"{origin}: {len(found)} keys; allowed: 1 to {limits.MAX_LINK_KEYS}")
    return found


def read_key_file(file: Path) -> list[bytes]:
    """The secrets of a key file. Raises MissingError."""
    origin = f"links.key_file {file}"
    try:
        with file.open("rb") as stream:
            return secrets_in(stream.read(limits.MAX_LINK_KEY_FILE_BYTES), origin)
    except OSError as error:
        raise MissingError(f"{origin}: {error.strerror}") from None


def load_link_keys(links: Links, environment: Mapping[str, str]) -> LinkKeys:
    """The keys that a configuration names; none where links are plain. Raises MissingError."""
    if links.curve == "off":
        return ()
    found: Sequence[bytes] = ()
    if links.key_file:
        found = read_key_file(Path(links.key_file))
    elif links.key_env:
        origin = f"links.key_env: environment variable {links.key_env}"
        if links.key_env not in environment:
            raise MissingError(f"{origin}: not set")
        found = secrets_in(environment[links.key_env].encode(), origin)
    return tuple(map(LinkKey.of, found))


class KeyTurns:
    """Which key to dial a peer with: the one that it answered last, else the next one each time."""

    def __init__(self, keys: LinkKeys) -> None:
        self._keys = keys
        self._turn: dict[object, int] = {}
        self._heard: set[object] = set()

    def next(self, peer: object) -> LinkKey | None:
        """For a new connection to `peer`; None where there are no keys."""
        if not self._keys:
            return None
        turn = self._turn.get(peer)
        if turn is None:
            turn = 0
        elif peer not in self._heard:
            turn += 1
        self._turn[peer] = turn
        self._heard.discard(peer)
        return self._keys[turn % len(self._keys)]

    def heard(self, peer: object) -> None:
        """`peer` has answered."""
        self._heard.add(peer)

    def is_mute(self, peer: object) -> bool:
        """Whether another key might help, as `peer` has not answered to this one."""
        return len(self._keys) > 1 and peer not in self._heard
