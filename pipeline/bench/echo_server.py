"""The gateway's HTTP server with an application that verifies the signature, and keeps nothing.

`python -m pipeline.bench.echo_server SECRET_HEX [straight]` prints its port and serves until its input ends;
`straight`: without ASGI, as the gateway takes a webhook that arrives in one piece.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import uvloop

from pipeline.clock import US_PER_S, SystemClock
from pipeline.errors import RinglineError
from pipeline.signing import Secret, verify
from pipeline.stages.gateway.answer import Answer, Header
from pipeline.stages.gateway.app import GatewayApp
from pipeline.stages.gateway.exchange import Exchange
from pipeline.stages.gateway.health import Health
from pipeline.stages.gateway.server import GatewayServer, bind

TOLERANCE_S = 3600


class SignedEcho:
    """Answers a signed request with its body."""

    def __init__(self, secret: Secret) -> None:
        self._secrets = (secret,)
        self._clock = SystemClock()
        self.health = Health(self._clock)

    def status(self, named: dict[bytes, bytes], body: bytes) -> int:
        """202 for a good signature, else 401."""
        try:
            verify(
                self._secrets, named[b"webhook-id"], named[b"webhook-timestamp"],
                named[b"webhook-signature"], body,
                now_s=self._clock.wall_us() // US_PER_S, tolerance_s=TOLERANCE_S,
            )  # fmt: skip
        except (RinglineError, KeyError):
            return 401
        return 202

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        message = await receive()
        body: bytes = message.get("body", b"")
        status = self.status(dict(scope["headers"]), body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    crowded = __call__


class StraightEcho(SignedEcho):
    """The same without a scope, a task and two messages between."""

    def opened(self, url: bytes, headers: list[Header]) -> dict[bytes, bytes]:
        """Every request is a usual one."""
        del url
        return dict(headers)

    def addressed(self, url: bytes, named: dict[bytes, bytes], body_bytes: int) -> dict[bytes, bytes]:
        """The same."""
        del url, body_bytes
        return named

    def posted(self, exchange: Exchange, opened: dict[bytes, bytes], body: bytes) -> None:
        """Answers at once."""
        exchange.reply(Answer(self.status(opened, body), body))


async def serve(secret: Secret, *, straight: bool) -> None:
    bound = bind("127.0.0.1", 0)
    echo = (StraightEcho if straight else SignedEcho)(secret)
    server = GatewayServer(cast("GatewayApp", echo), bound, 2048)
    await server.start()
    sys.stdout.write(f"{server.address[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(within_s=1)


if __name__ == "__main__":
    uvloop.run(serve(Secret(bytes.fromhex(sys.argv[1]), "bench"), straight=sys.argv[2:] == ["straight"]))
