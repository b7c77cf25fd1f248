"""How one operator process is set up: what its command line and environment say."""

from __future__ import annotations

import os
import re
import secrets
import socket
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline_operator import limits

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class RunSettings:
    """`identity` names this process in the Lease."""

    namespaces: tuple[str, ...]
    host: str = "0.0.0.0"  # noqa: S104 - probes and Prometheus come from outside the pod
    port: int = 8080
    records: str = "-"
    identity: str = ""
    name: str = ""
    """Only Pipelines that are meant for this name or for anybody; empty: all."""


def run_settings(namespaces: str, default_namespace: str | None, **rest: object) -> RunSettings:
    """Checks the list of namespaces and the name. Raises UsageError naming the one that cannot be."""
    names = tuple(dict.fromkeys(name.strip() for name in namespaces.split(",") if name.strip()))
    if not names and default_namespace:
        names = (default_namespace,)
    if not names:
        raise UsageError("--namespaces: none given, and the credentials name none; give a list as a,b,c")
    if len(names) > limits.MAX_NAMESPACES:
        raise UsageError(f"--namespaces: {len(names)} given, at most {limits.MAX_NAMESPACES}")
    for name in names:
        if not _LABEL.fullmatch(name):
            raise UsageError(f"--namespaces: '{name}' is no name of a namespace (a-z, 0-9, -; at most 63)")
    if (name := str(rest.get("name") or "")) and not _LABEL.fullmatch(name):
        raise UsageError(f"--name: '{name}' is no name of an operator (a-z, 0-9, -; at most 63)")
    return RunSettings(names, identity=own_identity(), **rest)  # type: ignore[arg-type]


def own_identity() -> str:
    """The pod's name and something new each start: a restarted container is another holder."""
    return f"{os.environ.get('POD_NAME') or socket.gethostname()}_{secrets.token_hex(4)}"
