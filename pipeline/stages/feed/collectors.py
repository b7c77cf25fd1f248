"""What the page shows: the snapshot of one collector, or of every one that some names lead to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from pipeline import limits
from pipeline.config import Config
from pipeline.connection import connect, get, local_address
from pipeline.errors import MissingError
from pipeline.snapshot import Snapshot, decode_snapshot
from pipeline.stages.feed.collector_stream import ANSWER_S, EVENTS, CollectorStream
from pipeline.stages.feed.elsewhere import Elsewhere, OperatorClient
from pipeline.telemetry.merging import merged
from pipeline.web.frame import Report

_BUCKETS = f"?sketches={EVENTS}"
_LATENCIES = f"?events={EVENTS}"


class _Reports(msgspec.Struct, frozen=True):
    reports: tuple[Report, ...]


_reports = msgspec.json.Decoder(_Reports).decode
Told = tuple[Snapshot, str]
"""What is known, and what is missing of it, in words."""


class CollectorClient:
    """Snapshots over one connection that is kept. Belongs to one thread at a time."""

    def __init__(self, url: str) -> None:
        self._connection, parts = connect(url, ANSWER_S)
        self._url = url
        self._path = parts.path.rstrip("/")

    def snapshot(self, query: str = "") -> Snapshot:
        """Raises MissingError when there is none to be had."""
        try:
            return decode_snapshot(self._asked("/v1/snapshot" + query))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._connection.close()
            raise MissingError(f"collector {self._url}: no snapshot: {error}") from None

    def links(self) -> list[Report]:
        """What its workers tell of their links; nothing where it knows of none. Raises MissingError."""
        try:
            return list(_reports(self._asked("/v1/links")).reports)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MissingError(f"collector {self._url}: no links: {error}") from None

    def _asked(self, path: str) -> bytes:
        asked = f"collector {self._url}"
        return get(self._connection, self._path + path, limits.MAX_SNAPSHOT_BYTES, asked)

    def told(self, brief: bool) -> Told:
        """Without latencies and verdicts when `brief`. Raises MissingError."""
        return self.snapshot("?brief=1" if brief else _LATENCIES), ""

    def close(self) -> None:
        self._connection.close()


def addresses(name: str) -> list[str]:
    """All that a name has now, IPv4, in order; none when it has none."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(one[4][0]) for one in found})


class Collectors:
    """Every collector that `names` lead to, asked at the same time; who comes and goes is noticed."""

    def __init__(
        self, names: Sequence[str], port: int, resolve: Callable[[str], list[str]] = addresses
    ) -> None:
        self._names = names
        self._port = port
        self._resolve = resolve
        self._clients: dict[str, CollectorClient] = {}
        self._threads = ThreadPoolExecutor(limits.PAGE_THREADS, thread_name_prefix="collectors")

    def told(self, brief: bool) -> Told:
        """Of those that answer, and how many do not. Raises MissingError when none does."""
        resolved = self._threads.map(self._resolve, self._names)
        found = list(dict.fromkeys(one for some in resolved for one in some))[: limits.MAX_PAGE_COLLECTORS]
        for gone in self._clients.keys() - set(found):
            self._clients.pop(gone).close()
        for one in found:
            if one not in self._clients:
                self._clients[one] = CollectorClient(f"http://{one}:{self._port}")
        query = "?brief=1" if brief else _BUCKETS
        answers = list(self._threads.map(lambda one: _asked(self._clients[one], query), found))
        known = [one for one in answers if isinstance(one, Snapshot)]
        faults = [str(one) for one in answers if isinstance(one, MissingError)]
        if not known:
            raise MissingError(faults[0] if faults else f"{', '.join(self._names)}: no addresses")
        fault = f"{len(faults)} of {len(found)} collectors: {faults[0]}" if faults else ""
        return merged(known), fault

    def links(self) -> list[Report]:
        """Of every collector that was there when `told` was asked last; the silent ones tell none."""
        answers = self._threads.map(_links_of, list(self._clients.values()))
        return sorted((one for some in answers for one in some), key=lambda report: report.name)

    def close(self) -> None:
        self._threads.shutdown()
        for client in self._clients.values():
            client.close()


def _asked(client: CollectorClient, query: str) -> Snapshot | MissingError:
    try:
        return client.snapshot(query)
    except MissingError as error:
        return error


def _links_of(client: CollectorClient) -> list[Report]:
    try:
        return client.links()
    except MissingError:
        return []


def elsewhere_of(config: Config, collectors: CollectorClient | Collectors) -> Elsewhere | None:
    """None where links and decisions are in files of this machine."""
    if isinstance(collectors, CollectorClient):
        return None
    url = config.feed.operator_url
    return Elsewhere(collectors.links, OperatorClient(url) if url else None)


def collectors_of(config: Config) -> CollectorClient | Collectors:
    """Those that the configuration names, else its own."""
    if config.feed.collector_names:
        return Collectors(config.feed.collector_names, config.telemetry.port)
    return CollectorClient(_own_url(config))


def stream_of(config: Config) -> CollectorStream | None:
    """Where one collector is all there is, it tells by itself; many are asked, so that they fit together."""
    if config.feed.collector_names:
        return None
    return CollectorStream(_own_url(config), config.feed.page_ms)


def _own_url(config: Config) -> str:
    own = f"http://{local_address(config.telemetry.host)}:{config.telemetry.port}"
    return config.feed.collector_url or own
