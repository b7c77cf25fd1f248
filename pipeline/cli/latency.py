"""`ringline latency`: single calls of a service, a line each."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from pipeline.cli.output import print_json_line
from pipeline.cli.session import with_config
from pipeline.config import Config
from pipeline.errors import EXIT_NO, EXIT_OK, MissingError, UsageError

if TYPE_CHECKING:
    from pipeline.bench.valuation_server import Client, Market


@click.group("latency")
def command() -> None:
    """Time single calls of a service.

    \b
    Example:
      ringline latency collect --calls 200
    """


@command.command("collect")
@click.option("--calls", type=click.IntRange(1, 10_000_000), default=200, show_default=True)
@click.option("--ensemble/--no-ensemble", default=False, help="With the ensemble on.")
@click.option("--url", metavar="URL", help="Of a running valuation; without it one is started for this.")
@click.option("--token-env", metavar="NAME", help="Environment variable with the bearer token.")
@click.option(
    "--domain", "domains", multiple=True, metavar="NAME", help="What to value at --url. Repeatable."
)
@with_config
def collect(
    config: Config,
    calls: int,
    ensemble: bool,
    url: str | None,
    token_env: str | None,
    domains: tuple[str, ...],
) -> int:
    """Time batches of the valuation: a JSON line a call, then one with p50 and p95 of those that succeeded.

    Before each call marks are moved, `moved` of them, so that books have to be valued anew. Those of a
    service at --url are left alone: there `moved` is null. Exit code 1 when a call was refused.

    \b
    Example:
      ringline latency collect --calls 200 --ensemble
      ringline latency collect --url http://127.0.0.1:8007 --domain pipeline
    """
    from pipeline.bench.valuation_calls import nearest_rank
    from pipeline.bench.valuation_server import DOMAINS

    if url is not None and not domains:
        raise UsageError("--domain: name what is valued at --url, such as --domain pipeline")
    taken: list[float] = []
    with _client(config, url, token_env) as (client, market):
        moved = None if market is None else market.share
        for number in range(1, calls + 1):
            if market is not None:
                market.move()
            taken_ms = _call(client, number, ensemble, domains or DOMAINS, moved)
            if taken_ms is not None:
                taken.append(taken_ms)
    p50, p95 = (round(nearest_rank(taken, percent), 3) if taken else None for percent in (50, 95))
    print_json_line(
        {
            "calls": calls,
            "succeeded": len(taken),
            "ensemble": ensemble,
            "moved": moved,
            "p50_ms": p50,
            "p95_ms": p95,
        }
    )
    return EXIT_OK if len(taken) == calls else EXIT_NO


def _call(
    client: Client, number: int, ensemble: bool, domains: tuple[str, ...], moved: int | None
) -> float | None:
    import time

    from pipeline.bench.valuation_calls import body

    posted = body(ensemble, domains)
    started_ns = time.perf_counter_ns()
    status, content = client.ask("POST", "/v1/valuations", posted)
    took_ms = (time.perf_counter_ns() - started_ns) / 1e6
    line = {
        "call": number,
        "ensemble": ensemble,
        "moved": moved,
        "status": status,
        "ms": round(took_ms, 3),
        "bytes": len(content),
    }
    print_json_line(line)
    return took_ms if status == 200 else None


@contextmanager
def _client(config: Config, url: str | None, token_env: str | None) -> Iterator[tuple[Client, Market | None]]:
    from pipeline.bench.valuation_server import Client, Market, running_valuation, teach

    if url is None:
        folder = Path(tempfile.mkdtemp(prefix="ringline-latency-"))
        try:
            with running_valuation(config, folder) as server:
                client = Client(server.port)
                yield client, Market(client, teach(client))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(f"--url {url}: expected http://HOST:PORT")
    if token_env is not None and token_env not in os.environ:
        raise MissingError(f"--token-env {token_env}: not set")
    headers = {"authorization": f"Bearer {os.environ[token_env].strip()}"} if token_env else {}
    client = Client(parts.port or 80, parts.hostname, headers)
    try:
        yield client, None
    finally:
        client.close()
