"""Who may read: bearer tokens by role, and which web pages a browser may read for.

A WebSocket is open to every page that a browser shows, whatever its origin, and so is HTTP on a name that a
stranger makes point here. So origins are always judged, and without tokens the name as well.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pipeline import limits
from pipeline.config.hosts import is_loopback
from pipeline.errors import MissingError
from pipeline.signing import SharedKey
from pipeline.stages.gateway.answer import Answer, Header
from pipeline.stages.gateway.problem import Problem, problem

READ, CONTROL = "read", "control"
SUBPROTOCOL = "ringline.v1"
"""Of browsers, which cannot set headers on a WebSocket; beside it they ask for `bearer.<base64url token>`."""
_BEARER = "bearer."
_CHALLENGE = (b"www-authenticate", b'Bearer realm="ringline"')
_UNKNOWN = problem(
    Problem.UNAUTHORIZED, "authorization: expected Bearer and a token that may read", field="authorization",
    headers=[_CHALLENGE],
)  # fmt: skip
_TOO_LITTLE = problem(
    Problem.FORBIDDEN_ROLE, "authorization: this token may read; this takes one of the role control",
    field="authorization",
)  # fmt: skip

Headers = Iterable[tuple[bytes, bytes]]


class Tokens(Protocol):
    """A section of the configuration that says who may."""

    @property
    def read_token_files(self) -> tuple[str, ...]: ...
    @property
    def read_token_env(self) -> tuple[str, ...]: ...
    @property
    def control_token_files(self) -> tuple[str, ...]: ...
    @property
    def control_token_env(self) -> tuple[str, ...]: ...
    @property
    def allow_origins(self) -> tuple[str, ...]: ...


class Access:
    """The tokens of a configuration. A control token may read as well."""

    def __init__(
        self, feed: Tokens, environment: Mapping[str, str] = os.environ, *, section: str = "feed"
    ) -> None:
        """`section` names it in errors. Raises MissingError with a line for each token that cannot be had."""
        self._section = section
        faults: list[str] = []
        self._tokens = [
            (role, token)
            for role, files, names in (
                (CONTROL, feed.control_token_files, feed.control_token_env),
                (READ, feed.read_token_files, feed.read_token_env),
            )
            for token in _tokens(f"{section}.{role}_token", files, names, environment, faults)
        ]
        if faults:
            raise MissingError("\n".join(faults))
        self._origins = frozenset(origin.lower().encode() for origin in feed.allow_origins)
        self.open = not self._tokens
        """No tokens: whoever reaches the port may do everything."""

    def refusal(self, headers: Headers, subprotocols: Iterable[str] = (), role: str = READ) -> Answer | None:
        """Why this request gets no answer; None when it does."""
        named = dict(headers)
        origin = named.get(b"origin")
        if origin is not None and not self.admits(origin) and not self.is_own(named.items()):
            detail = f"origin: {origin[:100].decode('latin-1')!r} is not in {self._section}.allow_origins"
            return problem(Problem.FORBIDDEN_ORIGIN, detail, field="origin")
        if self.open:
            host = named.get(b"host", b"").decode("latin-1")
            if not is_loopback(_name_in(f"http://{host}")):
                detail = (
                    f"host: {host[:100]!r} is no name of this machine alone; without tokens nothing else is"
                )
                return problem(Problem.FORBIDDEN_ORIGIN, detail, field="host")
            return None
        found = self.role(_given(named.get(b"authorization", b""), subprotocols))
        if found in (CONTROL, role):
            return None
        return _TOO_LITTLE if found else _UNKNOWN

    @staticmethod
    def is_own(headers: Headers) -> bool:
        """Whether a page of this very server asks, or no page at all. A name that a stranger made point here
        is refused by `refusal`: without tokens only this machine's own names are served."""
        named = dict(headers)
        origin = named.get(b"origin")
        if origin is None:
            return named.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin")
        return origin.partition(b"://")[2].lower() == named.get(b"host", b"").lower()

    def role(self, given: bytes | None) -> str:
        """What the holder of the token `given` may do; empty: nothing. Compares with every token there is."""
        if given is None:
            return ""
        found = [role for role, token in self._tokens if token.is_token(given)]
        return found[0] if found else ""

    def admits(self, origin: bytes) -> bool:
        """Whether a page of `origin` may be answered in a browser."""
        if origin.lower() in self._origins:
            return True
        return self.open and is_loopback(_name_in(origin.decode("latin-1")))

    def sharing(self, headers: Headers) -> list[Header]:
        """What tells a browser that its page may see the answer."""
        origin = dict(headers).get(b"origin")
        if origin is None or not self.admits(origin):
            return []
        return [(b"access-control-allow-origin", origin), (b"vary", b"origin")]


def _given(authorization: bytes, subprotocols: Iterable[str]) -> bytes | None:
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    for text in subprotocols:
        if text.startswith(_BEARER):
            encoded = text.removeprefix(_BEARER)
            try:
                return base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                return None
    return None


def _name_in(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _tokens(
    key: str, files: Iterable[str], names: Iterable[str], environment: Mapping[str, str], faults: list[str]
) -> list[SharedKey]:
    found = []
    for file in files:
        try:
            with Path(file).open("rb") as stream:
                data = stream.read(4 * limits.MAX_KEY_BYTES).strip()
            found.append(SharedKey(data, Path(file).name))
        except (OSError, ValueError) as error:
            faults.append(f"{key}_files: {file}: {getattr(error, 'strerror', None) or error}")
    for name in names:
        try:
            found.append(SharedKey(environment[name].strip().encode(), name))
        except KeyError:
            faults.append(f"{key}_env: {name}: not set")
        except ValueError as error:
            faults.append(f"{key}_env: {name}: {error}")
    return found
