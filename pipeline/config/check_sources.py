"""Rules of the senders of webhooks: secrets, addresses and what is signed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from pipeline import limits
from pipeline.config.fault import Fault
from pipeline.config.schema import Config
from pipeline.config.sources import Hmac, Source


def check_sources(config: Config) -> Iterator[Fault]:
    if not config.sources:
        yield Fault("sources: at least one is needed, or nothing can be posted")
    for name, source in config.sources.items():
        count = len(source.secret_files) + len(source.secret_env)
        if count > limits.MAX_SECRETS_A_SOURCE:
            yield Fault(
                f"sources.{name}: {count} secrets; the limit is {limits.MAX_SECRETS_A_SOURCE}",
                (f"sources.{name}.secret_files", f"sources.{name}.secret_env"),
            )
        yield from map(Fault, _source(f"sources.{name}", source))


def _source(path: str, source: Source) -> Iterator[str]:
    if source.profile == "standard" and source.idempotency_key != "ignored":
        yield (
            f"{path}.idempotency_key = {source.idempotency_key!r}: profile standard signs its webhook-id; "
            "under an unsigned key a captured request could be posted again; allowed: ignored"
        )
    for field, ranges in (("allow_from", source.allow_from), ("trusted_proxies", source.trusted_proxies)):
        yield from _ranges(f"{path}.{field}", ranges)
    if source.profile == "hmac":
        yield from _hmac(f"{path}.hmac", source.hmac)
    count = len(source.tradingview.token_files) + len(source.tradingview.token_env)
    if count > limits.MAX_SECRETS_A_SOURCE:
        yield f"{path}.tradingview: {count} body tokens; the limit is {limits.MAX_SECRETS_A_SOURCE}"


def _ranges(path: str, ranges: tuple[str, ...]) -> Iterator[str]:
    if len(ranges) > limits.MAX_ADDRESS_RANGES:
        yield f"{path}: {len(ranges)} entries; the limit is {limits.MAX_ADDRESS_RANGES}"
    for index, text in enumerate(ranges):
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield f"{path}[{index}] = {text!r}: expected an address or a network such as 10.0.0.0/8: {error}"


def _hmac(path: str, hmac: Hmac) -> Iterator[str]:
    for field in ("signature_header", "id_header"):
        if not getattr(hmac, field):
            yield f"{path}.{field}: must not be empty"
    named = [name for name in (hmac.signature_header, hmac.id_header, hmac.timestamp_header) if name]
    if len(set(named)) < len(named):
        yield f"{path}: signature_header, id_header and timestamp_header must differ"
    if not hmac.prefix.isascii() or not hmac.prefix.isprintable():
        yield f"{path}.prefix = {hmac.prefix!r}: allowed: printable ASCII"
    if not hmac.signed:
        return
    names = re.findall(r"\{(.*?)\}", hmac.signed)
    rest = re.sub(r"\{.*?\}", "", hmac.signed)
    if not set(names) <= {"id", "timestamp", "body"} or "{" in rest or "}" in rest or not rest.isascii():
        yield f"{path}.signed = {hmac.signed!r}: allowed between braces: id, timestamp, body"
    elif names.count("body") != 1 or not hmac.signed.endswith("{body}"):
        yield f"{path}.signed = {hmac.signed!r}: must end with its only {{body}}"
    elif ("timestamp" in names) != bool(hmac.timestamp_header):
        yield (
            f"{path}.signed = {hmac.signed!r}: a timestamp that is not signed proves nothing, and one "
            "that is signed needs timestamp_header"
        )
