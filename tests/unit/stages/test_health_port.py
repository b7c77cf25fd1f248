"""The health port of a worker, asked over real sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from pipeline import limits
from pipeline.errors import MissingError
from pipeline.stages.health_port import HealthPort


class Leaving:
    def __init__(self) -> None:
        self.yes = False

    def __call__(self) -> bool:
        return self.yes


@pytest.fixture
def leaving() -> Leaving:
    return Leaving()


@pytest.fixture
def health(leaving: Leaving) -> Iterator[HealthPort]:
    port = HealthPort("127.0.0.1", 0, leaving)
    yield port
    port.close()


def ask(health: HealthPort, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", health.port), timeout=10) as client:
        client.sendall(request)
        client.settimeout(0.01)
        answer = b""
        for _ in range(1000):
            health.serve()
            try:
                part = client.recv(4096)
            except TimeoutError:
                continue
            if not part:
                return answer
            answer += part
    raise AssertionError("no end of the answer")


def test_a_loop_that_turns_is_alive_and_ready(health: HealthPort) -> None:
    assert ask(health, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert ask(health, b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"\r\n\r\nready\n")


def test_a_worker_that_leaves_is_alive_and_not_ready(health: HealthPort, leaving: Leaving) -> None:
    leaving.yes = True
    assert ask(health, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    assert ask(health, b"GET /readyz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("request_", [b"GET / HTTP/1.1\r\n\r\n", b"POST /healthz HTTP/1.1\r\n\r\n", b"\x16"])
def test_anything_else_is_not_found(health: HealthPort, request_: bytes) -> None:
    assert ask(health, request_).startswith(b"HTTP/1.1 404 ")


def test_silent_connections_keep_nobody_out(health: HealthPort) -> None:
    silent = [
        socket.create_connection(("127.0.0.1", health.port), timeout=10)
        for _ in range(limits.MAX_HEALTH_CONNECTIONS + 3)
    ]
    health.serve()
    health.serve()
    assert ask(health, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    for client in silent:
        client.close()


def test_a_taken_port_is_said(health: HealthPort) -> None:
    with pytest.raises(MissingError, match="cannot listen on 127"):
        HealthPort("127.0.0.1", health.port, lambda: False)
