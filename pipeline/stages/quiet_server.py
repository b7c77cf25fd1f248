"""The patient server as stages want it: it tells nobody what runs here, and its owner when it serves."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import uvicorn

from pipeline import limits
from pipeline.patient_server import PatientServer


def quiet_config(app: Any, **own: Any) -> uvicorn.Config:
    """uvicorn's settings for a server of ours: ASGI 3 without a lifespan, no logs, no header that tells what
    runs here, nobody's word about addresses. `own` is what this server has besides."""
    return uvicorn.Config(
        app,
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.KEEP_ALIVE_S,
        **own,
    )


class QuietServer(PatientServer):
    """Says when it has started."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_started.set()
