"""What kopf does for the operator: it watches, on a thread and a loop of its own.

Only `on.event` handlers: they put no finalizer and no annotation on anything. Whatever kopf meets (410, 429,
5xx for minutes, an error within a watch that it gives up on), the tick goes on with what was last seen, and
kopf is begun anew.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import kopf

from pipeline_operator import limits
from pipeline_operator.kube.access import Access
from pipeline_operator.kube.paths import GROUP, VERSION

logger = logging.getLogger(__name__)
RESOURCES = (
    (GROUP, VERSION, "pipelines"),
    ("apps", "v1", "statefulsets"),
    ("", "v1", "pods"),
    ("discovery.k8s.io", "v1", "endpointslices"),
    ("autoscaling", "v2", "horizontalpodautoscalers"),
)
AGAIN_AFTER_S = 1.0
STOP_WITHIN_S = 8.0
TLS_GOODBYE_S = 0.1
"""Closing a TLS connection takes a few turns of the loop, which kopf does not wait for."""

Note = Callable[[str, Any, bool], None]
"""(plural, object, gone); called on kopf's thread."""


class _EndlessBackoffs:
    """A watch is never given up. Iterable, but without a length: kopf then counts on without an end."""

    def __iter__(self) -> Iterator[float]:
        backoff_s = limits.FIRST_BACKOFF_S
        while True:
            yield backoff_s
            backoff_s = min(limits.MAX_BACKOFF_S, backoff_s * 2)


class Watch:
    """Watches all RESOURCES in some namespaces and tells `note`. `start`, later `stop`."""

    def __init__(self, access: Access, namespaces: Sequence[str], note: Note) -> None:
        self._access = access
        self._namespaces = tuple(namespaces)
        self._note = note
        self._stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_flag: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.restarts = 0
        """How often kopf gave up and was begun anew."""

    def start(self) -> None:
        logging.getLogger("kopf._core.reactor.running").addFilter(_not_about_signals)
        self._thread.start()

    def stop(self) -> None:
        """Returns when it has ended, or after STOP_WITHIN_S: the thread keeps no process alive."""
        self._stopping.set()
        loop, flag = self._loop, self._stop_flag
        if loop is not None and flag is not None and not loop.is_closed():
            loop.call_soon_threadsafe(flag.set)
        self._thread.join(STOP_WITHIN_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                asyncio.run(self._watch())
                told = "it ended"
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
            if not self._stopping.is_set():
                self.restarts += 1
                logger.warning("the watches are begun anew: %s", told)
                self._stopping.wait(AGAIN_AFTER_S)

    async def _watch(self) -> None:
        self._loop, self._stop_flag = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(_note_leftovers)
        if self._stopping.is_set():
            return
        try:
            await kopf.operator(
                registry=self._registry(),
                settings=watch_settings(),
                namespaces=self._namespaces,
                standalone=True,
                stop_flag=self._stop_flag,
            )
        finally:
            await asyncio.sleep(TLS_GOODBYE_S)

    def _registry(self) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        access = self._access

        @kopf.on.login(registry=registry)
        def login(**_: Any) -> kopf.ConnectionInfo:
            return access.renewed()

        for group, version, plural in RESOURCES:
            self._register(registry, group, version, plural)
        return registry

    def _register(self, registry: kopf.OperatorRegistry, group: str, version: str, plural: str) -> None:
        note = self._note

        @kopf.on.event(group, version, plural, registry=registry, id=f"note-{plural}")
        async def tell(event: Any, **_: Any) -> None:
            note(plural, event["object"], event["type"] == "DELETED")


def watch_settings() -> kopf.OperatorSettings:
    """Nothing posted, nothing persisted, no peering; watches that cannot hang."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True  # no cluster-wide listing of CRDs or namespaces
    settings.peering.standalone = True
    settings.watching.server_timeout = limits.WATCH_SERVER_TIMEOUT_S
    settings.watching.client_timeout = limits.WATCH_SERVER_TIMEOUT_S + limits.API_TIMEOUT_S
    settings.watching.connect_timeout = limits.API_TIMEOUT_S
    settings.watching.inactivity_timeout = limits.WATCH_INACTIVITY_S
    settings.networking.request_timeout = limits.API_TIMEOUT_S * 3
    settings.networking.connect_timeout = limits.API_TIMEOUT_S
    settings.networking.error_backoffs = _EndlessBackoffs()
    settings.process.ultimate_exiting_timeout = None
    return settings


def _note_leftovers(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What kopf's generators say while its loop is closed under them is of no consequence."""
    logger.debug("%s", context.get("message"), exc_info=context.get("exception"))


def _not_about_signals(record: logging.LogRecord) -> bool:
    """Signals are ours, so that kopf need not handle them."""
    return "OS signals are ignored" not in record.getMessage()
