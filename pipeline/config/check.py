"""Rules that join several keys: what would lose data, double a limit or never work is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from pipeline import limits
from pipeline.config.schema import Config, Strategy

PORT_STRIDE = 10
"""The k-th worker of a stage listens on its port + 10·k."""


def cross_check(config: Config) -> list[str]:
    """Every fault between keys, one line each; empty when all is well."""
    return [
        *_links(config),
        *_journal(config),
        *_stages(config),
        *_ports(config),
        *_trading(config),
        *_sources(config),
    ]


def _links(config: Config) -> Iterator[str]:
    links = config.links
    if links.depth > links.credit // limits.KEY_SHARE:
        yield (
            f"links.depth = {links.depth}: at most a quarter of links.credit "
            f"({links.credit // limits.KEY_SHARE}), so that one key never fills a link"
        )
    if links.dead_after_ms < 3 * links.heartbeat_ms:
        yield (
            f"links.dead_after_ms = {links.dead_after_ms}: at least 3 × links.heartbeat_ms "
            f"({3 * links.heartbeat_ms}), or one late heartbeat kills a link"
        )


def _journal(config: Config) -> Iterator[str]:
    journal = config.journal
    least = limits.MIN_JOURNAL_SEGMENTS * journal.segment_bytes
    if journal.max_bytes < least:
        yield (
            f"journal.max_bytes = {journal.max_bytes}: at least {limits.MIN_JOURNAL_SEGMENTS} × "
            f"journal.segment_bytes ({least}), or compaction has no room"
        )
    for name, source in config.sources.items():
        if journal.retention_s <= 2 * source.tolerance_s:
            yield (
                f"journal.retention_s = {journal.retention_s}: must exceed 2 × sources.{name}.tolerance_s "
                f"({2 * source.tolerance_s}), or a captured request can be replayed after it is forgotten"
            )


def _stages(config: Config) -> Iterator[str]:
    if config.audit.workers > 1 and config.audit.engine == "sqlite":
        yield (
            f"audit.workers = {config.audit.workers}: SQLite allows one writer, and one writer keeps the "
            "chain; allowed: 1"
        )


def _ports(config: Config) -> Iterator[str]:
    taken: dict[tuple[str, int], str] = {}
    claims = [("gateway.port", config.gateway.host, config.gateway.port, 1)]
    claims += [("telemetry.port", config.telemetry.host, config.telemetry.port, 1)]
    for name, stage in (("agent", config.agent), ("exec", config.exec), ("audit", config.audit)):
        claims.append((f"{name}.port", stage.host, stage.port, stage.workers))
    for name, host, first, count in claims:
        for index in range(count):
            port = first + PORT_STRIDE * index
            if port > 65_535:
                yield f"{name} = {first}: worker {index} would listen on {port}; the limit is 65535"
            elif other := taken.get((host, port)):
                yield f"{name} = {first}: port {port} of worker {index} is taken by {other}"
            else:
                taken[host, port] = name


def _trading(config: Config) -> Iterator[str]:
    if "default" not in config.trading.instruments:
        yield "trading.instruments.default: missing; it serves every symbol not named"
    for name, instrument in config.trading.instruments.items():
        for field, text, scale in (
            ("tick", instrument.tick, instrument.price_scale),
            ("lot", instrument.lot, instrument.quantity_scale),
        ):
            step = Decimal(text).scaleb(scale)
            if step <= 0 or step != step.to_integral_value():
                yield (
                    f"trading.instruments.{name}.{field} = {text!r}: must be a positive multiple of "
                    f"10^-{scale}, the scale of this instrument"
                )
    for name, strategy in config.trading.strategies.items():
        yield from _strategy(f"trading.strategies.{name}", strategy)
    for index, throttle in enumerate(config.trading.throttles):
        path = f"trading.throttles[{index}]"
        if not 0 <= Decimal(throttle.multiplier) <= 1:
            yield f"{path}.multiplier = {throttle.multiplier!r}: allowed: 0 to 1"
        if Decimal(throttle.max_notional) < 0:
            yield f"{path}.max_notional = {throttle.max_notional!r}: must not be negative"


def _strategy(path: str, strategy: Strategy) -> Iterator[str]:
    if Decimal(strategy.quantity) <= 0:
        yield f"{path}.quantity = {strategy.quantity!r}: must be positive"
    if strategy.kind == "sma_cross" and strategy.fast >= strategy.slow:
        yield f"{path}.fast = {strategy.fast}: must be below slow ({strategy.slow})"


def _sources(config: Config) -> Iterator[str]:
    if not config.sources:
        yield "sources: at least one is needed, or nothing can be posted"
    for name, source in config.sources.items():
        count = len(source.secret_files) + len(source.secret_env)
        if count > limits.MAX_SECRETS_A_SOURCE:
            yield f"sources.{name}: {count} secrets; the limit is {limits.MAX_SECRETS_A_SOURCE}"
