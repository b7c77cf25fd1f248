"""The receiver that most people would write: FastAPI, Redis for duplicates, PostgreSQL for durability.

    python tests/benchmarks/plain_receiver.py [--requests N]

starts PostgreSQL, Redis, this receiver and Ringline's gateway and posts the same signed requests to each, in
turns. The work is the same: verify a Standard Webhooks signature over the raw body, parse and check the
event, find duplicates by webhook-id, keep the event durably, answer 202. It is written fairly: uvloop and
httptools, asynchronous drivers with pools, one round trip to Redis and one to PostgreSQL a request, whose own
group commit shares syncs between the connections.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel
from redis.asyncio import Redis

SUPPORT = Path(__file__).resolve().parents[1] / "support"
TOLERANCE_S = 300
RETENTION_S = 900
POOL = 16


class Candle(BaseModel):
    type: Literal["candle"]
    symbol: str
    time: str
    open: str
    high: str
    low: str
    close: str
    volume: str


def make_app(secret: bytes, dsn: str, redis_url: str) -> Any:
    """The receiver."""
    redis = Redis.from_url(redis_url)
    pool = AsyncConnectionPool(dsn, min_size=POOL, max_size=POOL, open=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await pool.open(wait=True)
        async with pool.connection() as connection:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS events (source text, webhook_id text, symbol text, body bytea, "
                "accepted timestamptz DEFAULT now(), PRIMARY KEY (source, webhook_id))"
            )
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.post("/webhook/{source}")
    async def receive(source: str, request: Request) -> JSONResponse:
        webhook_id, stamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        body = await request.body()
        signed = f"{webhook_id}.{stamp}.".encode() + body
        expected = base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
        given = request.headers["webhook-signature"].split(",", 1)[1]
        if abs(time.time() - int(stamp)) > TOLERANCE_S or not hmac.compare_digest(expected, given):
            raise HTTPException(401)
        candle = Candle.model_validate_json(body)
        key = f"{source}/{webhook_id}"
        if not await redis.set(key, hashlib.sha256(body).hexdigest(), nx=True, ex=RETENTION_S):
            return JSONResponse({"status": "duplicate"}, 202)
        async with pool.connection() as connection:
            await connection.execute(
                "INSERT INTO events (source, webhook_id, symbol, body) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                (source, webhook_id, candle.symbol, body),
            )
        return JSONResponse({"status": "accepted", "id": webhook_id}, 202)

    return app


def serve(port: int) -> None:
    import uvicorn

    app = make_app(bytes.fromhex(os.environ["SECRET"]), os.environ["DSN"], os.environ["REDIS"])
    uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", http="httptools", access_log=False,
                log_level="warning")  # fmt: skip


def children(pid: int) -> tuple[int, ...]:
    """A process and its children: PostgreSQL has one a connection."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return (pid, *map(int, found))


def main(requests: int, repeats: int) -> int:
    sys.path.insert(0, str(SUPPORT))
    from servers import running_postgres, running_redis

    from pipeline.bench.gateway import Options, Peer, run
    from pipeline.bench.links import free_port
    from pipeline.config import Config
    from pipeline.figures import encode_bench

    secret, port = os.urandom(32), free_port()
    with running_postgres() as postgres, running_redis() as redis:
        environment = os.environ | {"SECRET": secret.hex(), "DSN": postgres.dsn, "REDIS": redis.url}
        command = [sys.executable, __file__, "--serve", str(port)]
        with subprocess.Popen(command, env=environment) as receiver:
            try:
                _wait(port)
                assert postgres._process
                assert redis._process
                pids = (receiver.pid, redis._process.pid, *children(postgres._process.pid))
                peer = Peer("FastAPI + Redis + PostgreSQL", port, pids)
                config = Config(data_dir=os.environ.get("TMPDIR", "/tmp") + "/ringline-data")
                options = Options(requests=requests, repeats=repeats)
                bench = run(config, options, lambda line: print(line, file=sys.stderr), peer, secret)
            finally:
                receiver.terminate()
    sys.stdout.write(encode_bench(bench).decode())
    return 0 if bench.met else 1


def _wait(port: int) -> None:
    import socket

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the plain receiver has not started")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", type=int)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
    else:
        sys.exit(main(given.requests, given.repeats))
