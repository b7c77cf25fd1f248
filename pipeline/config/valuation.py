"""The valuation's section of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline import valuation_limits
from pipeline.config.section import Host, Port, PositiveSeconds, Section
from pipeline.text import NameText


class Model(Section, frozen=True):
    """One pricing model; `bars` for vwap, ewma and median, `source` and `parameters` for custom."""

    kind: Literal["last", "vwap", "ewma", "typical", "median", "custom"]
    bars: Annotated[int, Meta(ge=1, le=valuation_limits.MAX_VALUATION_BARS)] = 5
    """Candles that it looks at."""
    source: Annotated[str, Meta(max_length=1024)] = ""
    """`FILE.py:CLASS`, or the name of an entry point in the group `ringline.models`."""
    parameters: dict[str, str | int | bool] = msgspec.field(default_factory=dict)
    """Given to a custom model when it is made."""


def _default_models() -> dict[str, Model]:
    return {
        "last": Model(kind="last"),
        "typical": Model(kind="typical"),
        "vwap": Model(kind="vwap", bars=3),
        "ewma": Model(kind="ewma", bars=3),
        "median": Model(kind="median", bars=3),
    }


class Valuation(Section, frozen=True):
    """What books are worth, over HTTP."""

    enabled: bool = False
    """Whether `ringline up` runs it. It needs the extra `ringline[valuation]`."""
    host: Host = "127.0.0.1"
    """Beyond loopback only with a token."""
    port: Port = 8007
    read_token_files: tuple[str, ...] = ()
    read_token_env: tuple[str, ...] = ()
    """Files and environment variables with a bearer token each that may read and value."""
    control_token_files: tuple[str, ...] = ()
    control_token_env: tuple[str, ...] = ()
    """The same of those who may also change domains and post marks."""
    allow_origins: tuple[str, ...] = ()
    """Web pages that a browser may read from, such as `https://desk.example`."""
    max_connections: Annotated[int, Meta(ge=2, le=65_536)] = 256
    engine: Literal["memory", "sqlite", "postgres", "redis"] = "sqlite"
    """Where domains, values and snapshots are kept: `sqlite` in `data_dir/valuation.sqlite`, `memory`
    forgets; `postgres` and `redis` need a server and the extra of their name."""
    dsn_file: str = ""
    """A file with the DSN of PostgreSQL or the URL of Redis, which may hold a password; beats `dsn_env`."""
    dsn_env: Annotated[str, Meta(min_length=1)] = "RINGLINE_VALUATION_DSN"
    postgres_schema: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "ringline_valuation"
    redis_prefix: Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,64}(?!\n)$")] = "ringline"
    models: dict[NameText, Model] = msgspec.field(default_factory=_default_models)
    """What the ensemble asks, by name."""
    model: NameText = "last"
    """The one of `models` that prices with the ensemble off."""
    history_bars: Annotated[int, Meta(ge=1, le=valuation_limits.MAX_VALUATION_BARS)] = 64
    """Candles of a symbol that are kept for the models."""
    stale_after_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 604_800
    """A mark that is older (a candle's: received longer ago) values nothing, unless a request asks for
    another limit; 0: never. A week, because markets close."""
    nav_every_ms: Annotated[int, Meta(ge=valuation_limits.MIN_VALUATION_LOOP_MS, le=86_400_000)] = 1000
    """Each domain's net asset value is recorded this often."""
    nav_keep_s: PositiveSeconds = 604_800
    """Recorded values are kept this long."""
    snapshot_every_ms: Annotated[int, Meta(ge=valuation_limits.MIN_VALUATION_LOOP_MS, le=86_400_000)] = 5000
    """Marks, bars and the own book are stored this often; after a restart the feed is read on from there."""
    own_domain: NameText = "pipeline"
    """The domain of what the pipeline itself has traded; nobody else can change it."""
    feed: bool = True
    """Take marks and fills from the audit's feed; else only what is posted."""
    feed_url: str = ""
    """Of another machine's feed, such as http://audit:8006; empty: that of `feed.host` and `feed.port`."""
    feed_token_file: str = ""
    """A file with the bearer token for the feed; empty: as `feed.read_token_files` says."""
