"""The page's files, read and compressed once. Nothing in them comes from anywhere else, and no script is
inline: the policy below lets a browser run and fetch only what this server sends.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from msgspec import Struct

from pipeline import limits

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".LICENSE": "text/plain; charset=utf-8",
}
INDEX = "index.html"
GZIP_LEVEL = 9

Header = tuple[bytes, bytes]


class Asset(Struct, frozen=True):
    """One file, ready to be sent."""

    content: bytes
    packed: bytes
    """The same, gzipped."""
    kind: str
    etag: str

    def headers(self, *, packed: bool) -> list[Header]:
        """Everything but the length. Kept by browsers, and asked about every time: a new version shows."""
        found = [
            (b"content-type", self.kind.encode()),
            (b"cache-control", b"no-cache"),
            (b"etag", self.etag.encode()),
            (b"vary", b"accept-encoding"),
            (b"content-security-policy", POLICY.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
        ]
        return [*found, (b"content-encoding", b"gzip")] if packed else found


@cache
def assets() -> dict[str, Asset]:
    """Every file by its path on the server; `/` is the page."""
    found = {}
    for file in files("pipeline.web").joinpath("static").iterdir():
        ending = file.name[file.name.rfind(".") :]
        if ending in _TYPES:
            path = "/" if file.name == INDEX else f"/page/{file.name}"
            found[path] = _asset(file.read_bytes(), _TYPES[ending])
    assert sum(len(asset.packed) for asset in found.values()) <= limits.PAGE_TRANSFER_BYTES
    return found


def _asset(content: bytes, kind: str) -> Asset:
    packed = gzip.compress(content, GZIP_LEVEL, mtime=0)
    return Asset(content, packed, kind, f'"{hashlib.sha256(content).hexdigest()[:20]}"')
