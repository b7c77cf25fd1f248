"""Rules of who may ask over HTTP: tokens by role, and the pages that browsers may call from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from pipeline import limits
from pipeline.config.fault import Fault
from pipeline.config.hosts import is_loopback

ROLES = ("read", "control")


class Open(Protocol):
    """A section of the configuration that says who may ask."""

    @property
    def host(self) -> str: ...
    @property
    def allow_origins(self) -> Sequence[str]: ...


def check_access(name: str, section: Open, *, served: bool, shows: str) -> Iterator[Fault]:
    """Every fault of the section called `name`. Beyond loopback what is `served` needs a token, for it
    `shows` what is nobody else's business."""
    named = {
        f"{name}.{role}_token_{kind}": getattr(section, f"{role}_token_{kind}")
        for role in ROLES
        for kind in ("files", "env")
    }
    if served and not is_loopback(section.host) and not any(named.values()):
        yield Fault(
            f"{name}.host = {section.host!r}: beyond loopback it needs a token, in "
            f"{name}.read_token_files or {name}.read_token_env, for it shows {shows}",
            (f"{name}.host", *named),
        )
    for role in ROLES:
        keys = (f"{name}.{role}_token_files", f"{name}.{role}_token_env")
        count = sum(len(named[key]) for key in keys)
        if count > limits.MAX_SECRETS_A_SOURCE:
            yield Fault(f"{name}: {count} {role} tokens; the limit is {limits.MAX_SECRETS_A_SOURCE}", keys)
    for index, origin in enumerate(section.allow_origins):
        if not re.fullmatch(r"https?://[^/\s?#]+", origin):
            yield Fault(
                f"{name}.allow_origins[{index}] = {origin!r}: expected http(s)://HOST or …://HOST:PORT"
            )
