"""Rules of the senders of webhooks: secrets, addresses and what is signed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from pipeline import limits
from pipeline.config.check_access import ROLES
from pipeline.config.fault import Fault
from pipeline.config.schema import Config
from pipeline.config.sources import KINDS, Hmac, Source


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
    yield from _control_source(config)


def _control_source(config: Config) -> Iterator[Fault]:
    """Who the page's controls are sent as must be somebody who may send them."""
    name, feed = config.feed.control_source, config.feed
    if not name:
        return
    path = f"feed.control_source = {name!r}"
    source = config.sources.get(name)
    if source is None:
        yield Fault(f"{path}: there is no such source; here are {', '.join(config.sources)}")
        return
    if source.profile != "standard":
        yield Fault(
            f"{path}: its profile is {source.profile}; controls are signed as profile standard is",
            (f"sources.{name}.profile",),
        )
    if "control" not in source.accepts:
        yield Fault(
            f"{path}: sources.{name}.accepts has no control, so the gateway would refuse what the page sends",
            (f"sources.{name}.accepts",),
        )
    tokens = {
        f"feed.{role}_token_{where}": getattr(feed, f"{role}_token_{where}")
        for role in ROLES
        for where in ("files", "env")
    }
    if any(tokens.values()) and not any(found for key, found in tokens.items() if "control" in key):
        yield Fault(
            f"{path}: nobody could use it without a token of the role control, in feed.control_token_files "
            "or feed.control_token_env",
            tuple(tokens),
        )


def _source(path: str, source: Source) -> Iterator[str]:
    if not source.accepts:
        yield f"{path}.accepts: empty, so that it could send nothing; allowed: {', '.join(KINDS)}"
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
