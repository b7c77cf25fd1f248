"""Puts the application on a port: uvicorn with uvloop and httptools, its limits set and its habits off."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from pathlib import Path
from typing import Any

from pipeline import limits
from pipeline.config.schema import Gateway
from pipeline.errors import MissingError
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.exchange import Heads
from pipeline.stages.gateway.protocol import GatewayProtocol
from pipeline.stages.quiet_server import QuietServer, quiet_config

SWEEP_S = 0.5
_OTHER_FILES = 256
"""Descriptors that the process needs beside its connections: segments, links, rings, libraries."""


def bind(host: str, port: int, key: str = "gateway.port") -> socket.socket:
    """A socket bound to host and port (0: any free one). Raises MissingError naming both."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise MissingError(f"{key}: host {host!r}: {error.strerror}") from None
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
        bound.listen(1)  # two sockets may be bound to one port, only one may listen
    except OSError as error:
        bound.close()
        if error.errno == errno.EADDRINUSE:
            raise MissingError(f"{key} = {port}: {host}:{port} is in use by another process") from None
        raise MissingError(f"{key} = {port}: {host}:{port}: {error.strerror}") from None
    bound.setblocking(False)
    return bound


def raise_file_limit(files: int) -> None:
    """Asks for room for `files` descriptors, as far as the hard limit goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def tls_options(tls: tuple[str, str] | None) -> dict[str, Any]:
    """As uvicorn wants them, once it is sure that they work."""
    if tls is None:
        return {}
    chain, key = tls
    for name, file in (("tls_cert_file", chain), ("tls_key_file", key)):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise MissingError(f"gateway.{name} = {file!r}: {error.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        detail = getattr(error, "reason", None) or str(error)
        raise MissingError(
            f"gateway.tls_cert_file = {chain!r}, gateway.tls_key_file = {key!r}: no pair of a certificate "
            f"and its unencrypted key in PEM: {detail}"
        ) from None
    return {"ssl_certfile": chain, "ssl_keyfile": key}


def tls_files(settings: Gateway) -> tuple[str, str] | None:
    """Certificate chain and key; None where plain HTTP is configured."""
    return (settings.tls_cert_file, settings.tls_key_file) if settings.tls_cert_file else None


class GatewayServer:
    """Serves `app` on a bound socket, on the running loop (make it a uvloop one).

    Leaves signals, logging and the loop alone: they are the process's.
    """

    def __init__(
        self,
        app: GatewayApp,
        bound: socket.socket,
        max_connections: int,
        tls: tuple[str, str] | None = None,
    ) -> None:
        """`tls`: PEM files with the certificate chain and with its key. Raises MissingError naming the one
        that cannot be used."""
        raise_file_limit(max_connections + limits.SPARE_CONNECTIONS + _OTHER_FILES)
        self._bound = bound
        bounded = type("BoundedProtocol", (GatewayProtocol,), {"max_connections": max_connections})
        self._config = quiet_config(
            app,
            http=bounded,
            ws="none",
            **tls_options(tls),
        )
        self._app = app
        self._server = QuietServer(self._config)
        bounded.heads = Heads(self._server.server_state)  # type: ignore[attr-defined]
        self._serving: asyncio.Task[None] | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._bound.getsockname()[:2]
        return host, port

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)

    async def start(self) -> None:
        """Returns when connections are accepted."""
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._bound]))
        started = asyncio.create_task(self._server.is_started.wait())
        await asyncio.wait((self._serving, started), return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            started.cancel()
            self._serving.result()
        self._sweeping = asyncio.create_task(self._sweep())

    async def stop(self, within_s: int = limits.DRAIN_S) -> None:
        """Closes the port, answers what was asked, closes every connection; cuts what is left in the end.

        The application should be drained first: until then it goes on taking events.
        """
        if self._serving is None or self._sweeping is None:
            self._bound.close()
            return
        self._config.timeout_graceful_shutdown = within_s
        self._server.should_exit = True
        await self._serving
        self._sweeping.cancel()

    async def _sweep(self) -> None:
        """Looks for slow senders, and lets the wall clock be followed."""
        loop = asyncio.get_running_loop()
        while True:
            # On whole multiples, as links' heartbeats are: what is due together costs one awakening.
            await asyncio.sleep(SWEEP_S - loop.time() % SWEEP_S)
            now_s = loop.time()
            for connection in tuple(self._server.server_state.connections):
                assert isinstance(connection, GatewayProtocol)
                connection.expire(now_s)
            self._app.health.unready()
