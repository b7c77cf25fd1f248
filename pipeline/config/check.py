"""Rules that join several keys: what would lose data, double a limit or never work is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from pipeline import limits
from pipeline.config.check_access import check_access
from pipeline.config.check_links import check_links
from pipeline.config.check_sources import check_sources
from pipeline.config.check_valuation import check_valuation
from pipeline.config.fault import Fault
from pipeline.config.schema import Config, Instrument, Strategy, Trading

MAX_DEVIATIONS = 100
"""A close is never further from its mean than √(n − 1) deviations, 31.6 of 1,000 bars."""
PORT_STRIDE = 10
"""The k-th worker of a stage listens on its port + 10·k."""


def cross_check(config: Config, dropped: Iterable[str] = ()) -> list[str]:
    """Every fault between keys, one line each; empty when all is well.

    `dropped` are keys that are at fault themselves, so that `config` has their defaults: what depends on
    one of them is not known, and not reported.
    """
    found = (
        *check_links(config),
        *_journal(config),
        *_stages(config),
        *map(Fault, _space(config)),
        *_ports(config),
        *_telemetry(config),
        *_trading(config),
        *check_sources(config),
        *map(Fault, _tls(config)),
        *check_access("feed", config.feed, served=config.feed.enabled, shows="every trade"),
        *check_valuation(config),
    )
    gone = tuple(dropped)
    return [fault.text for fault in found if not any(map(fault.involves, gone))]


def _journal(config: Config) -> Iterator[Fault]:
    journal = config.journal
    least = limits.MIN_JOURNAL_SEGMENTS * journal.segment_bytes
    if journal.max_bytes < least:
        yield Fault(
            f"journal.max_bytes = {journal.max_bytes}: at least {limits.MIN_JOURNAL_SEGMENTS} × "
            f"journal.segment_bytes ({least}), or compaction has no room",
            ("journal.max_bytes", "journal.segment_bytes"),
        )
    for name, source in config.sources.items():
        if journal.retention_s <= 2 * source.tolerance_s:
            yield Fault(
                f"journal.retention_s = {journal.retention_s}: must exceed 2 × sources.{name}.tolerance_s "
                f"({2 * source.tolerance_s}), or a captured request can be replayed after it is forgotten",
                ("journal.retention_s", f"sources.{name}.tolerance_s"),
            )


def _stages(config: Config) -> Iterator[Fault]:
    throttles = enumerate(config.trading.throttles)
    wide = [(index, one.name) for index, one in throttles if one.over_symbols]
    if wide and config.agent.workers > 1 and config.agent.scopes == "memory":
        index, name = wide[0]
        yield Fault(
            f"agent.workers = {config.agent.workers}: throttle {name} counts over all symbols, in the "
            "memory of one agent; allowed: 1, or agent.scopes = redis",
            (
                "agent.workers",
                "agent.scopes",
                f"trading.throttles[{index}].per",
                f"trading.throttles[{index}].name",
            ),
        )
    if len(wide) > limits.MAX_CLAIMS:
        yield Fault(
            f"trading.throttles: {len(wide)} count over all symbols; the limit is {limits.MAX_CLAIMS}, "
            "the scopes that one entry may claim"
        )
    several = config.agent.members != "local" and config.agent.max_replicas > 1
    if wide and several and config.agent.scopes == "memory":
        index, name = wide[0]
        yield Fault(
            f"agent.max_replicas = {config.agent.max_replicas}: throttle {name} counts over all symbols, in "
            "the memory of one agent; allowed: 1, or agent.scopes = redis",
            (
                "agent.max_replicas",
                "agent.scopes",
                "agent.members",
                f"trading.throttles[{index}].per",
                f"trading.throttles[{index}].name",
            ),
        )
    yield from _replicas(config)
    if config.audit.workers > 1 and config.audit.engine == "sqlite":
        yield Fault(
            f"audit.workers = {config.audit.workers}: SQLite allows one writer, and one writer keeps the "
            "chain; allowed: 1",
            ("audit.workers", "audit.engine"),
        )


def _replicas(config: Config) -> Iterator[Fault]:
    audit = config.audit
    if audit.engine == "sqlite" and audit.members != "local" and audit.max_replicas > 1:
        yield Fault(
            f"audit.max_replicas = {audit.max_replicas}: SQLite allows one writer, and each replica would "
            "keep a chain of its own; allowed: 1",
            ("audit.max_replicas", "audit.members", "audit.engine"),
        )
    for name, stage in (("agent", config.agent), ("exec", config.exec), ("audit", audit)):
        if stage.members == "dns" and stage.max_replicas * stage.workers > limits.MAX_ORDINAL:
            yield Fault(
                f"{name}.max_replicas = {stage.max_replicas}: × {name}.workers ({stage.workers}) exceeds "
                f"{limits.MAX_ORDINAL} workers of a stage",
                (f"{name}.max_replicas", f"{name}.workers", f"{name}.members"),
            )
        if stage.members == "listed" and stage.workers > stage.max_replicas:
            yield Fault(
                f"{name}.workers = {stage.workers}: at most {name}.max_replicas ({stage.max_replicas}), "
                "as many as there may be",
                (f"{name}.max_replicas", f"{name}.workers", f"{name}.members"),
            )


def _space(config: Config) -> Iterator[str]:
    space = config.space
    if space.floor_bytes > space.warn_bytes:
        yield (
            f"space.floor_bytes = {space.floor_bytes}: at most space.warn_bytes ({space.warn_bytes}), "
            "so that the warning comes before the refusal"
        )


def _ports(config: Config) -> Iterator[Fault]:
    taken: dict[tuple[str, int], str] = {}
    claims = [("gateway.port", config.gateway.host, config.gateway.port, 1)]
    claims += [("telemetry.port", config.telemetry.host, config.telemetry.port, 1)]
    if config.feed.enabled:
        claims.append(("feed.port", config.feed.host, config.feed.port, 1))
    if config.valuation.enabled:
        claims.append(("valuation.port", config.valuation.host, config.valuation.port, 1))
    for name, stage in (("agent", config.agent), ("exec", config.exec), ("audit", config.audit)):
        most = stage.max_replicas if stage.members == "listed" else stage.workers
        claims.append((f"{name}.port", stage.host, stage.port, most))
        if stage.health_port:
            claims.append((f"{name}.health_port", stage.host, stage.health_port, most))
    for name, host, first, count in claims:
        for index in range(count):
            port = first + PORT_STRIDE * index
            if port > 65_535:
                yield Fault(
                    f"{name} = {first}: worker {index} would listen on {port}; the limit is 65535",
                    (name, _beside(name, "workers")),
                )
            elif other := taken.get((host, port)):
                yield Fault(
                    f"{name} = {first}: port {port} of worker {index} is taken by {other}",
                    tuple(_beside(one, key) for one in (name, other) for key in ("port", "host", "workers")),
                )
            else:
                taken[host, port] = name


def _beside(key: str, name: str) -> str:
    """Another key of the same section."""
    return f"{key.rpartition('.')[0]}.{name}"


def _telemetry(config: Config) -> Iterator[Fault]:
    entries = config.telemetry.ring_entries
    below = 1 << (entries.bit_length() - 1)
    if entries != below:
        yield Fault(f"telemetry.ring_entries = {entries}: must be a power of two, such as {below}")
    sla = config.telemetry.sla
    if len(sla) > limits.MAX_SLA_EVENTS:
        yield Fault(f"telemetry.sla: {len(sla)} events, at most {limits.MAX_SLA_EVENTS}")
    for event, wanted in sla.items():
        if len(wanted) > limits.MAX_SLA_PERCENTILES:
            yield Fault(
                f"telemetry.sla.{event}: {len(wanted)} percentiles, at most {limits.MAX_SLA_PERCENTILES}"
            )


def _trading(config: Config) -> Iterator[Fault]:
    trading = config.trading
    if "default" not in trading.instruments:
        yield Fault("trading.instruments.default: missing; it serves every symbol not named")
    for name, instrument in trading.instruments.items():
        yield from _instrument(f"trading.instruments.{name}", instrument)
    if len(trading.strategies) > limits.MAX_STRATEGIES_A_KEY:
        yield Fault(
            f"trading.strategies: {len(trading.strategies)}; the limit is {limits.MAX_STRATEGIES_A_KEY}"
        )
    for name, strategy in trading.strategies.items():
        yield from _strategy(f"trading.strategies.{name}", strategy, trading)
        yield from _quantity(
            f"trading.strategies.{name}.quantity", strategy.quantity, trading, strategy.symbols
        )
    yield from _quantity("trading.signal_quantity", trading.signal_quantity, trading, ())
    if Decimal(trading.max_signal_quantity) <= 0:
        yield Fault(f"trading.max_signal_quantity = {trading.max_signal_quantity!r}: must be positive")
    yield from _throttles(trading)
    for field in trading.risk.__struct_fields__:
        if Decimal(getattr(trading.risk, field)) < 0:
            yield Fault(f"trading.risk.{field} = {getattr(trading.risk, field)!r}: must not be negative")
    yield from _costs(config)


def _instrument(path: str, instrument: Instrument) -> Iterator[Fault]:
    for field, text, scaled, scale in (
        ("tick", instrument.tick, "price_scale", instrument.price_scale),
        ("lot", instrument.lot, "quantity_scale", instrument.quantity_scale),
    ):
        step = Decimal(text).scaleb(scale)
        if not 0 < step <= limits.MAX_SCALED or step != step.to_integral_value():
            yield Fault(
                f"{path}.{field} = {text!r}: must be a positive multiple of "
                f"10^-{scale}, the scale of this instrument",
                (f"{path}.{field}", f"{path}.{scaled}"),
            )


def _throttles(trading: Trading) -> Iterator[Fault]:
    names: dict[str, str] = {}
    for index, throttle in enumerate(trading.throttles):
        path = f"trading.throttles[{index}]"
        if throttle.name in names:
            yield Fault(
                f"{path}.name = {throttle.name!r}: taken by another; a throttle's memory goes by its name",
                (f"{path}.name", names[throttle.name]),
            )
        names[throttle.name] = f"{path}.name"
        if not 0 <= Decimal(throttle.multiplier) <= 1:
            yield Fault(f"{path}.multiplier = {throttle.multiplier!r}: allowed: 0 to 1")
        if Decimal(throttle.max_notional) < 0:
            yield Fault(f"{path}.max_notional = {throttle.max_notional!r}: must not be negative")
        for place, other in enumerate(throttle.overrides):
            where = f"{path}.overrides[{place}]"
            if other.multiplier is not None and not 0 <= Decimal(other.multiplier) <= 1:
                yield Fault(f"{where}.multiplier = {other.multiplier!r}: allowed: 0 to 1")
            if other.max_notional is not None and Decimal(other.max_notional) < 0:
                yield Fault(f"{where}.max_notional = {other.max_notional!r}: must not be negative")
            if throttle.per in ("symbol", "global") and other.scope.strategy_id is not None:
                yield Fault(
                    f"{where}.scope.strategy_id: a count per {throttle.per} knows no strategies",
                    (f"{where}.scope.strategy_id", f"{path}.per"),
                )
            if throttle.per in ("strategy", "global") and other.scope.symbol is not None:
                yield Fault(
                    f"{where}.scope.symbol: a count per {throttle.per} knows no symbols",
                    (f"{where}.scope.symbol", f"{path}.per"),
                )


def _costs(config: Config) -> Iterator[Fault]:
    for name, text in (
        ("commission_bps", config.exec.commission_bps),
        ("slippage_bps", config.exec.slippage_bps),
    ):
        if not 0 <= Decimal(text) <= limits.MAX_BPS:
            yield Fault(f"exec.{name} = {text!r}: allowed: 0 to {limits.MAX_BPS}")
    share = config.exec.volume_limit_percent
    if not 0 <= Decimal(share) <= 100:
        yield Fault(f"exec.volume_limit_percent = {share!r}: allowed: 0 to 100")
    elif Decimal(share) and config.exec.fill_policy == "signal_price":
        yield Fault(
            f"exec.volume_limit_percent = {share!r}: orders never rest under fill_policy signal_price; "
            "use next_open or worst_of_bar",
            ("exec.volume_limit_percent", "exec.fill_policy"),
        )


def _members(path: str, strategy: Strategy, trading: Trading) -> Iterator[Fault]:
    if not strategy.members:
        yield Fault(f"{path}.members: an ensemble needs at least one")
    for name, weight in strategy.members.items():
        member = trading.strategies.get(name)
        if member is None:
            known = ", ".join(sorted(trading.strategies))
            yield Fault(
                f"{path}.members.{name}: no such strategy; there are {known}",
                (f"{path}.members.{name}", f"trading.strategies.{name}"),
            )
        elif member.kind == "ensemble":
            yield Fault(
                f"{path}.members.{name}: is an ensemble itself; an ensemble is made of strategies",
                (f"{path}.members.{name}", f"trading.strategies.{name}"),
            )
        if Decimal(weight) <= 0:
            yield Fault(f"{path}.members.{name} = {weight!r}: a weight must be positive")


def _strategy(path: str, strategy: Strategy, trading: Trading) -> Iterator[Fault]:
    if strategy.kind == "ensemble":
        yield from _members(path, strategy, trading)
    if strategy.kind == "custom" and not strategy.source:
        yield Fault(f"{path}.source: missing; FILE.py:CLASS or the name of an entry point")
    if strategy.kind == "mean_reversion" and not 0 < Decimal(strategy.deviations) <= MAX_DEVIATIONS:
        yield Fault(f"{path}.deviations = {strategy.deviations!r}: above 0, at most {MAX_DEVIATIONS}")
    if strategy.kind == "volatility_target":
        if not 0 < Decimal(strategy.target_bps) <= limits.MAX_BPS:
            yield Fault(f"{path}.target_bps = {strategy.target_bps!r}: above 0, at most {limits.MAX_BPS}")
        if not 0 <= Decimal(strategy.rebalance_percent) <= 100:
            yield Fault(f"{path}.rebalance_percent = {strategy.rebalance_percent!r}: allowed: 0 to 100")
    if strategy.kind in ("mean_reversion", "volatility_target") and strategy.lookback < 2:
        yield Fault(f"{path}.lookback = {strategy.lookback}: at least 2 for {strategy.kind}")
    if strategy.kind == "sma_cross" and strategy.fast >= strategy.slow:
        yield Fault(
            f"{path}.fast = {strategy.fast}: must be below slow ({strategy.slow})",
            (f"{path}.fast", f"{path}.slow"),
        )


def _quantity(path: str, text: str, trading: Trading, symbols: tuple[str, ...]) -> Iterator[Fault]:
    """An order size must be countable in every instrument that may be traded with it."""
    quantity = Decimal(text)
    if quantity <= 0:
        yield Fault(f"{path} = {text!r}: must be positive")
        return
    traded = {symbol if symbol in trading.instruments else "default" for symbol in symbols}
    for name in sorted(traded or trading.instruments):
        instrument = trading.instruments.get(name)
        lot = Decimal(instrument.lot) if instrument else Decimal(0)
        if instrument is None or lot <= 0:
            continue  # reported above
        where = f"trading.instruments.{name}"
        keys = (path, _beside(path, "symbols"), f"{where}.quantity_scale", f"{where}.lot")
        if quantity.scaleb(instrument.quantity_scale) > limits.MAX_SCALED:
            most = Decimal(limits.MAX_SCALED).scaleb(-instrument.quantity_scale)
            yield Fault(
                f"{path} = {text!r}: at most {most.normalize():f}, the limit of instrument {name}", keys
            )
        elif quantity % lot:
            yield Fault(
                f"{path} = {text!r}: must be a multiple of the lot {instrument.lot} of instrument {name}",
                keys,
            )


def _tls(config: Config) -> Iterator[str]:
    gateway = config.gateway
    if bool(gateway.tls_cert_file) != bool(gateway.tls_key_file):
        yield "gateway.tls_cert_file, gateway.tls_key_file: one without the other; TLS needs both"
