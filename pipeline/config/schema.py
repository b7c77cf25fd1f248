"""The configuration's shape: one frozen struct a section, a range and a meaning beside every key.

Defaults run the whole pipeline on one machine with no other server. Secrets are never values here, only
the files or environment variables that hold them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from pipeline import limits
from pipeline.config.feed import Feed
from pipeline.config.section import (
    EventText,
    HealthPort,
    Host,
    LimitMs,
    MembersBy,
    PercentileText,
    Port,
    PositiveSeconds,
    Replicas,
    Section,
    Service,
    Workers,
)
from pipeline.config.sources import Hmac as Hmac
from pipeline.config.sources import RateLimit as RateLimit
from pipeline.config.sources import Source as Source
from pipeline.config.sources import TradingView as TradingView
from pipeline.config.valuation import Valuation
from pipeline.text import DecimalText, NameText, SymbolText

_DAY = "(mon|tue|wed|thu|fri|sat|sun)"
_CLOCK = "(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)"
SESSION = rf"^(({_DAY}-{_DAY} )?{_CLOCK}-{_CLOCK})?(?!\n)$"


class Breaker(Section, frozen=True):
    """When no events are taken for a while because the journal's commits fail or crawl."""

    slow_ms: Annotated[int, Meta(ge=1, le=60_000)] = 2000
    """A commit that takes longer is slow."""
    bad_percent: Annotated[int, Meta(ge=1, le=100)] = 50
    """Of the commits within `window_s`, failed or slow, at which the gateway answers 503."""
    window_s: Annotated[int, Meta(ge=1, le=3600)] = 30
    least_commits: Annotated[int, Meta(ge=1, le=100_000)] = 5
    """Fewer within the window prove nothing."""
    open_s: Annotated[int, Meta(ge=1, le=3600)] = 5
    """Pause before a few events are let through again."""
    probes: Annotated[int, Meta(ge=1, le=10_000)] = 8
    """Events let through then; all must commit well."""


class Gateway(Section, frozen=True):
    host: Host = "127.0.0.1"
    port: Port = 8001
    max_body_bytes: Annotated[int, Meta(ge=1024, le=limits.MAX_BODY_BYTES)] = limits.MAX_BODY_BYTES
    max_connections: Annotated[int, Meta(ge=1, le=65_536)] = 2048
    max_pending: Annotated[int, Meta(ge=1, le=1_000_000)] = 8192
    """Requests that wait for their journal commit; more get 503 with Retry-After."""
    max_batch_events: Annotated[int, Meta(ge=1, le=limits.MAX_BATCH_EVENTS)] = 500
    """Events of one `POST /webhook/{source}/batch`; its bytes are limited by `max_body_bytes`."""
    max_candle_ahead_s: Annotated[int, Meta(ge=0, le=4_102_444_800)] = 86_400
    """A candle that closes later than this from now is refused: taken, it would make every real one of its
    symbol stale until then. A day serves bars that are dated by the end of theirs."""
    breaker: Breaker = Breaker()
    tls_cert_file: str = ""
    """PEM file with the certificate chain; with `tls_key_file` the gateway speaks HTTPS only."""
    tls_key_file: str = ""


class Journal(Section, frozen=True):
    max_bytes: Annotated[int, Meta(ge=1 * limits.MIB, le=1024 * limits.GIB)] = 1 * limits.GIB
    segment_bytes: Annotated[int, Meta(ge=limits.MIN_SEGMENT_BYTES, le=limits.MAX_SEGMENT_BYTES)] = (
        16 * limits.MIB
    )
    max_age_s: PositiveSeconds = 3600
    """The oldest unsettled event may be this old before new ones get 503: the pipeline behind is stuck."""
    retention_s: PositiveSeconds = 900
    """A repeat of a webhook-id within this time replays the first answer; must exceed 2 × tolerance."""
    keep_settled_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 3600
    """Settled events are kept this long, while the journal fills at most half of `max_bytes`: `audit
    reconcile` sends them again to an audit that was restored from a backup."""
    expire_after_s: Annotated[int, Meta(ge=0, le=31_536_000)] = 0
    """An event not yet dispatched after this long ends as `expired`; 0 switches expiry off."""


class Links(Section, frozen=True):
    credit: Annotated[int, Meta(ge=4, le=limits.MAX_CREDIT)] = 256
    """Messages in flight on one link."""
    depth: Annotated[int, Meta(ge=1, le=256)] = 16
    """Messages of one key in flight; at most credit / 4."""
    heartbeat_ms: Annotated[int, Meta(ge=10, le=10_000)] = 250
    dead_after_ms: Annotated[int, Meta(ge=50, le=60_000)] = 2000
    """A peer silent for this long is dead; at least 3 heartbeats."""
    ask_again_ms: Annotated[int, Meta(ge=10, le=10_000)] = 200
    """`STATE?` is repeated after this long without an answer."""
    curve: Literal["auto", "on", "off"] = "auto"
    """Encrypted, and only for peers with a key. `auto`: where a key is named, which it must be off loopback;
    `off` opts out of that."""
    key_file: str = ""
    """The links' keys, made by `ringline keys links FILE`: the same file for every worker."""
    key_env: str = ""
    """An environment variable with the text of a key file, where there is no file."""


class Agent(Section, frozen=True):
    host: Host = "127.0.0.1"
    """Where its workers listen; with members `local` also where the others reach them."""
    port: Port = 8002
    """Of a replica's first worker; the k-th from 0 listens on port + 10·k."""
    workers: Workers = 1
    """On this machine; with members `dns` in each replica."""
    members: MembersBy = "local"
    """How the others find them: `local` on this machine, `dns` replica by replica as the pods of a
    StatefulSet, `NAME-0.SERVICE`, `NAME-1.SERVICE` and so on, looked up each second, `listed` on this machine
    as the supervisor says which run now (`ringline up --autoscale` sets it)."""
    service: Service = "ringline-agent"
    """For members `dns`: the headless service; pods are named by its first label and their ordinal."""
    max_replicas: Replicas = 16
    """For members `dns`: replicas that are looked for. For `listed`: workers that there may be."""
    health_port: HealthPort = 0
    """The k-th worker answers `/healthz` and `/readyz` on health_port + 10·k; 0: nowhere."""
    max_keys: Annotated[int, Meta(ge=16, le=10_000_000)] = 100_000
    """States kept in memory; colder keys are forgotten and asked for again."""
    scopes: Literal["memory", "redis"] = "memory"
    """Where throttles that count over several symbols are counted: `memory` serves one agent and forgets with
    it; `redis` needs a server and the extra `ringline[redis]`, and serves any number."""
    scopes_url_file: str = ""
    """A file with the URL of the Redis server, which may hold a password; beats `scopes_url_env`."""
    scopes_url_env: Annotated[str, Meta(min_length=1)] = "RINGLINE_SCOPES_URL"
    """The environment variable with the URL, such as `redis://:PASSWORD@host:6379/0`."""
    scopes_prefix: Annotated[str, Meta(pattern=r"^[a-z0-9_.-]{1,64}(?!\n)$")] = "ringline"
    """Of all keys on that server: one pipeline a prefix."""


class Exec(Section, frozen=True):
    host: Host = "127.0.0.1"
    port: Port = 8004
    workers: Workers = 1
    members: MembersBy = "local"
    service: Service = "ringline-exec"
    max_replicas: Replicas = 16
    health_port: HealthPort = 0
    max_keys: Annotated[int, Meta(ge=16, le=10_000_000)] = 100_000
    fill_policy: Literal["next_open", "signal_price", "worst_of_bar"] = "next_open"
    venue_latency_ms: Annotated[int, Meta(ge=0, le=limits.MAX_VENUE_LATENCY_MS)] = 0
    """A simulated venue's answer time to every order; 0: it answers at once."""
    venue_concurrency: Annotated[int, Meta(ge=1, le=limits.MAX_VENUE_CONCURRENCY)] = 4
    """Orders that the simulated venue takes at a time from one worker; of one key only one."""
    commission_bps: DecimalText = "1"
    """Commission in basis points of a fill's notional."""
    slippage_bps: DecimalText = "0"
    """Every fill is this much worse than its reference price."""
    volume_limit_percent: DecimalText = "0"
    """Of a candle's volume, what all orders of its symbol that rest may fill of it; 0: orders fill whole."""


class Audit(Section, frozen=True):
    host: Host = "127.0.0.1"
    port: Port = 8005
    workers: Workers = 1
    members: MembersBy = "local"
    service: Service = "ringline-audit"
    max_replicas: Replicas = 16
    health_port: HealthPort = 0
    engine: Literal["sqlite", "postgres"] = "sqlite"
    """`postgres` needs a server and the extra `ringline[postgres]`; then several workers keep one chain."""
    dsn_file: str = ""
    """A file with the DSN of the PostgreSQL server, which may hold a password; beats `dsn_env`."""
    dsn_env: Annotated[str, Meta(min_length=1)] = "RINGLINE_AUDIT_DSN"
    """The environment variable with the DSN."""
    postgres_schema: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,62}$")] = "ringline"
    """One pipeline a schema; it is made on the first start."""
    batch: Annotated[int, Meta(ge=1, le=limits.MAX_AUDIT_BATCH)] = 256
    """Rows of one transaction at most; a batch is whatever arrived during the commit before."""
    state_every: Annotated[int, Meta(ge=1, le=4096)] = limits.STATE_EVERY_ROWS
    origin: Annotated[str, Meta(pattern=r"^[^\s+]{1,64}$")] = "ringline/audit"
    """The name in signed checkpoints and of the key that signs them; tells one pipeline's from another's."""
    checkpoint_every_s: Annotated[int, Meta(ge=0, le=86_400)] = 60
    """The end of the chain is signed this often, into `data_dir/checkpoints`; 0 switches it off."""
    signing_key_file: str = ""
    """The file of the key that signs them, made where there is none; empty: `data_dir/secrets/audit.key`."""
    checkpoint_file: str = ""
    """The newest checkpoint is also written here: on a share it outlives whoever rewrites this machine."""
    checkpoint_url: Annotated[str, Meta(pattern=r"^(https?://[^\s/]+(/\S*)?)?$", max_length=2048)] = ""
    """The newest checkpoint is also sent here by HTTP, with `Content-Type: text/plain`."""
    checkpoint_method: Literal["PUT", "POST"] = "PUT"
    checkpoint_token_file: str = ""
    """A file with a bearer token for `checkpoint_url`; beats `checkpoint_token_env`."""
    checkpoint_token_env: str = ""
    """An environment variable with that token; with neither, no token is sent."""


class Space(Section, frozen=True):
    """Free space where `data_dir` is."""

    warn_bytes: Annotated[int, Meta(ge=0, le=1024 * limits.GIB)] = 1 * limits.GIB
    """Below this a warning is logged: with the default journal there is room for another one."""
    floor_bytes: Annotated[int, Meta(ge=0, le=1024 * limits.GIB)] = 64 * limits.MIB
    """Below this the gateway is unready; 0 switches it off. At most `warn_bytes`."""


class Telemetry(Section, frozen=True):
    directory: str = ""
    """Where the rings live; empty: a folder of this instance's own under /dev/shm."""
    ring_entries: Annotated[int, Meta(ge=limits.MIN_RING_ENTRIES, le=limits.MAX_RING_ENTRIES)] = (
        limits.DEFAULT_RING_ENTRIES
    )
    host: Host = "127.0.0.1"
    port: Port = 9464
    """The collector's HTTP port: /metrics, /v1/snapshot, /v1/stream, /v1/links."""
    sla: dict[EventText, dict[PercentileText, LimitMs]] = msgspec.field(default_factory=dict)
    """By event, by percentile (`p95`, `p99_9`): ms that the collector judges instead of what it judges of
    this event by default; an event without percentiles is not judged."""
    links_directory: str = ""
    """Where workers tell of their links, for `status --links` and the page; empty: `run/links` in `data_dir`.
    A collector offers what is there, so that a page on another machine finds it."""


class Supervisor(Section, frozen=True):
    restarts: Annotated[int, Meta(ge=0, le=10_000)] = 10
    """A worker may be restarted this often within `restart_window_s`; once more and everything stops."""
    restart_window_s: PositiveSeconds = 60
    drain_s: Annotated[int, Meta(ge=1, le=600)] = limits.DRAIN_S


class Instrument(Section, frozen=True):
    """How a symbol is counted. `tick` and `lot` are the smallest steps of price and quantity."""

    price_scale: Annotated[int, Meta(ge=0, le=limits.MAX_SCALE)] = 4
    quantity_scale: Annotated[int, Meta(ge=0, le=limits.MAX_SCALE)] = 4
    tick: DecimalText = "0.0001"
    lot: DecimalText = "0.0001"
    session: Annotated[str, Meta(pattern=SESSION)] = ""
    """When entries may be made, in UTC, such as `mon-fri 14:30-21:00`; empty: always."""


class Strategy(Section, frozen=True):
    """One strategy; `fast` and `slow` (bars) for sma_cross, `lookback` and `exit_lookback` for breakout,
    `lookback` and `deviations` for mean_reversion, `lookback`, `target_bps` and `rebalance_percent` for
    volatility_target, `members` for ensemble, `source` and `parameters` for custom."""

    kind: Literal["sma_cross", "breakout", "mean_reversion", "volatility_target", "ensemble", "custom"]
    quantity: DecimalText = "100"
    symbols: tuple[SymbolText, ...] = ()
    """Symbols that it trades; empty: all."""
    fast: Annotated[int, Meta(ge=1, le=1000)] = 10
    slow: Annotated[int, Meta(ge=2, le=1000)] = 30
    lookback: Annotated[int, Meta(ge=1, le=1000)] = 20
    exit_lookback: Annotated[int, Meta(ge=1, le=1000)] = 10
    deviations: DecimalText = "2"
    """Standard deviations from the mean that are far."""
    target_bps: DecimalText = "100"
    """The volatility aimed at: standard deviation of a bar's return."""
    rebalance_percent: DecimalText = "10"
    """Of `quantity`: a size that is off by less stays."""
    members: dict[NameText, DecimalText] = msgspec.field(default_factory=dict)
    """Strategies by name that vote, each with its weight. A member only votes: it trades nothing itself."""
    source: Annotated[str, Meta(max_length=1024)] = ""
    """`FILE.py:CLASS`, or the name of an entry point in the group `ringline.strategies`."""
    parameters: dict[str, str | int | bool] = msgspec.field(default_factory=dict)
    """Given to a custom strategy when it is made."""
    short: bool = False
    """Also sell short; otherwise long or flat."""


class Scope(Section, frozen=True):
    """What a throttle counts separately; empty means any."""

    strategy_id: NameText | None = None
    symbol: SymbolText | None = None


class Override(Section, frozen=True):
    """Other limits of a throttle where `scope` matches; what is left out stays. The most specific one
    applies: strategy and symbol, then strategy, then symbol; of equals the last."""

    scope: Scope
    max_trades: Annotated[int, Meta(ge=0, le=limits.MAX_WINDOW_TRADES)] | None = None
    window_seconds: PositiveSeconds | None = None
    cooldown_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] | None = None
    min_spacing_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] | None = None
    max_notional: DecimalText | None = None
    multiplier: DecimalText | None = None


class Throttle(Section, frozen=True):
    """A trade throttle, counted for each (strategy, symbol) that its scope matches, unless `per` says
    otherwise. 0 switches a rule off, but `multiplier` 0 halts."""

    name: NameText
    max_trades: Annotated[int, Meta(ge=0, le=limits.MAX_WINDOW_TRADES)] = 0
    """Entries within any `window_seconds`."""
    window_seconds: PositiveSeconds = 60
    cooldown_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 0
    """After an exit."""
    min_spacing_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 0
    """Between entries."""
    max_notional: DecimalText = "0"
    """Price × quantity of all entries within any `window_seconds`."""
    multiplier: DecimalText = "1"
    """0 to 1: scales `max_notional`, and `max_trades` rounded down."""
    scope: Scope = Scope()
    per: Literal["strategy_and_symbol", "symbol", "strategy", "global"] = "strategy_and_symbol"
    """What shares one count: all strategies of a symbol, a strategy in all symbols, or everything. Notionals
    of all symbols add up as they are written, so they should be in one currency."""
    overrides: tuple[Override, ...] = ()

    @property
    def over_symbols(self) -> bool:
        """Whether one count may have entries of several symbols, so that it is no key's own."""
        return self.per in ("strategy", "global") and self.scope.symbol is None

    @property
    def over_strategies(self) -> bool:
        """Whether one count may have entries of several strategies."""
        return self.per in ("symbol", "global") and self.scope.strategy_id is None


class Risk(Section, frozen=True):
    """Limits on what is entered, for each strategy and symbol; 0 switches one off. Exits always pass."""

    max_order: DecimalText = "0"
    """Quantity of one entry."""
    max_position: DecimalText = "0"
    """Quantity held, long or short."""
    max_daily_loss: DecimalText = "0"
    """Of a symbol's strategies together, in its money, since midnight UTC: intended positions at closes,
    before costs. Entries are refused from then on until the next day."""
    price_collar_percent: DecimalText = "0"
    """How far an entry's price may be from the last close before it; a symbol that had no candle has none."""


def _default_instruments() -> dict[str, Instrument]:
    return {"default": Instrument()}


def _default_strategies() -> dict[str, Strategy]:
    return {
        "sma": Strategy(kind="sma_cross", fast=10, slow=30),
        "breakout": Strategy(kind="breakout", lookback=20, exit_lookback=10),
    }


def _monthly(strategy: str) -> Throttle:
    """One entry in 30 days and none for 5 days after an exit, for one of the default strategies."""
    return Throttle(
        name=f"monthly-{strategy}",
        max_trades=1,
        window_seconds=30 * 86_400,
        cooldown_seconds=5 * 86_400,
        scope=Scope(strategy_id=strategy),
    )


class Trading(Section, frozen=True):
    instruments: dict[str, Instrument] = msgspec.field(default_factory=_default_instruments)
    """By symbol; `default` serves every other symbol."""
    strategies: dict[NameText, Strategy] = msgspec.field(default_factory=_default_strategies)
    throttles: tuple[Throttle, ...] = (_monthly("sma"), _monthly("breakout"))
    """Each counts by itself and a trade must pass them all. By default a signal of somebody else passes."""
    risk: Risk = Risk()
    max_signal_quantity: DecimalText = "1000000"
    """A signal that asks for more enters nothing."""
    signal_quantity: DecimalText = "100"
    """Order size of a signal that names none, nor a strategy that has one."""


class Config(Section, frozen=True):
    """Everything. `ringline config show` prints the one in force, `config schema` its JSON Schema."""

    data_dir: str = "ringline-data"
    """Journal, audit and generated secrets; one running pipeline a folder."""
    gateway: Gateway = Gateway()
    journal: Journal = Journal()
    links: Links = Links()
    agent: Agent = Agent()
    exec: Exec = Exec()
    audit: Audit = Audit()
    feed: Feed = Feed()
    space: Space = Space()
    valuation: Valuation = Valuation()
    telemetry: Telemetry = Telemetry()
    supervisor: Supervisor = Supervisor()
    trading: Trading = Trading()
    sources: dict[NameText, Source] = msgspec.field(default_factory=lambda: {"demo": Source()})


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of the configuration file, with the defaults in it."""
    return msgspec.json.schema(Config)
