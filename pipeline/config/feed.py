"""The feed's section of the configuration."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pipeline import limits
from pipeline.config.section import Host, Port, Section


class Feed(Section, frozen=True):
    """The audit over HTTP: queries and a live feed of settled rows."""

    enabled: bool = True
    host: Host = "127.0.0.1"
    """Beyond loopback only with a token, for rows show every trade."""
    port: Port = 8006
    read_token_files: tuple[str, ...] = ()
    read_token_env: tuple[str, ...] = ()
    """Files and environment variables with a bearer token each that may read; all are accepted."""
    control_token_files: tuple[str, ...] = ()
    control_token_env: tuple[str, ...] = ()
    """The same of those who may also change what trades."""
    allow_origins: tuple[str, ...] = ()
    """Web pages that a browser may read from, such as `https://desk.example`. Without tokens those served
    from this machine may as well."""
    max_clients: Annotated[int, Meta(ge=1, le=limits.MAX_FEED_CLIENTS)] = 64
    """WebSocket clients at one time."""
    max_connections: Annotated[int, Meta(ge=2, le=limits.MAX_FEED_CONNECTIONS)] = 256
    """Connections of all kinds at one time."""
    poll_ms: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """How often new rows are looked for, while there are clients, if no audit worker of this machine tells
    of them."""
    heartbeat_ms: Annotated[int, Meta(ge=limits.MIN_FEED_HEARTBEAT_MS, le=60_000)] = 5000
    """A client that got no row for this long gets a heartbeat."""
    stall_s: Annotated[int, Meta(ge=1, le=3600)] = 30
    """A client that takes nothing for this long is cut; it can resume where it was."""
    page: bool = True
    """The live page at `/`, with its streams and its controls."""
    page_ms: Annotated[int, Meta(ge=limits.MIN_PAGE_MS, le=10_000)] = 500
    """How often the page is told what is new, while anybody looks."""
    collector_url: str = ""
    """The collector that the page shows; empty: the one of this configuration."""
    collector_names: tuple[str, ...] = ()
    """Names whose addresses each have a collector at `telemetry.port`, such as headless Services: the page
    shows all of them together; beats `collector_url`."""
    operator_url: str = ""
    """Where the operator tells of its Pipeline, for the page; empty: the embedded autoscaler's file."""
    gateway_url: str = ""
    """The gateway that the page's controls go to; empty: the one of this configuration."""
    control_source: str = ""
    """The source that the page's controls are sent as; empty: the first that may send them."""
