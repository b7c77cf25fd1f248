"""The workers of a stage in Kubernetes: its replicas by name, looked up in a thread of its own.

The pods of a StatefulSet have names that keys can be mapped to, `agent-0.SERVICE`, and its headless service
publishes their addresses before they are ready. A name server may take seconds to answer or say nothing at
all; senders only ever read what the last look found.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Literal

from pipeline import limits
from pipeline.config.schema import Agent, Audit, Config, Exec
from pipeline.transport.listed_members import ListedMembers, members_file
from pipeline.transport.members import Members, endpoint, local_members

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
_ABSENT = frozenset(
    number for name in ("EAI_NONAME", "EAI_NODATA") if (number := getattr(socket, name, None)) is not None
)

Resolve = Callable[[str], str | None]
"""A host's address; None where there is no such host. Raises OSError when nobody knows."""


def resolve(name: str) -> str | None:
    """The first IPv4 address of `name`, by the system's resolver. Waits."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in _ABSENT:
            return None
        raise
    return str(found[0][4][0])


class DnsMembers:
    """The replicas of one stage. `look` once a second; `endpoints` at any time, from any thread."""

    def __init__(
        self,
        service: str,
        port: int,
        *,
        workers: int = 1,
        max_replicas: int = limits.MAX_REPLICAS,
        resolve: Resolve = resolve,
    ) -> None:
        self._service = service
        self._port = port
        self._workers = workers
        self._max_replicas = max_replicas
        self._resolve = resolve
        self._hosts: dict[int, str] = {}
        self._endpoints: dict[int, str] = {}
        self._looks = 0
        self._mute = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def endpoints(self) -> dict[int, str]:
        return self._endpoints

    def start(self) -> DnsMembers:
        """Looks once a second from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name=f"members of {self._service}", daemon=True)
        self._thread.start()
        return self

    def close(self) -> None:
        """The thread ends by itself: it may be waiting for a name server."""
        self._closed.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self.look()
            self._closed.wait(LOOK_EVERY_S)

    def look(self) -> None:
        """Looks every replica up that may be there. Waits for the name server."""
        everyone = self._looks % limits.LOOK_ALL_EVERY == 0
        self._looks += 1
        hosts: dict[int, str] = {}
        absent = 0
        for replica in range(self._max_replicas):
            host = self._host(replica)
            if host is not None:
                hosts[replica] = host
                absent = 0
            else:
                absent += 1
                if absent >= limits.LOOK_AHEAD and not everyone and replica >= max(self._hosts, default=0):
                    break
        if hosts != self._hosts:
            log.info("%s: %s", self._service, ", ".join(f"{r} at {hosts[r]}" for r in hosts) or "nobody")
            self._hosts = hosts
            self._endpoints = {
                replica * self._workers + index: endpoint(host, self._port, index)
                for replica, host in hosts.items()
                for index in range(self._workers)
            }

    def _host(self, replica: int) -> str | None:
        """Its address; the one known before while nobody can tell."""
        name = f"{self._service.partition('.')[0]}-{replica}.{self._service}"
        try:
            host = self._resolve(name)
        except (OSError, UnicodeError) as error:
            if not self._mute:
                log.warning("%s cannot be looked up: %s; what is known stays", name, error)
                self._mute = True
            return self._hosts.get(replica)
        self._mute = False
        return host


def members_of(config: Config, name: Literal["agent", "exec", "audit"]) -> Members:
    """The workers of a stage as the configuration says where they are."""
    stage: Agent | Exec | Audit = getattr(config, name)
    if stage.members == "local":
        return local_members(stage)
    if stage.members == "listed":
        return ListedMembers(members_file(config.data_dir), name, stage)
    return DnsMembers(
        stage.service, stage.port, workers=stage.workers, max_replicas=stage.max_replicas
    ).start()
