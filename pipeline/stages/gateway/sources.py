"""The sources of a configuration as the gateway serves them."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from pipeline import checks, limits
from pipeline.clock import NS_PER_S
from pipeline.config.schema import Config
from pipeline.config.schema import Source as Settings
from pipeline.config.sources import KINDS
from pipeline.signing import SharedKey
from pipeline.stages.gateway.addresses import Senders
from pipeline.stages.gateway.gcra import Gcra
from pipeline.stages.gateway.profiles import GitHubProfile, HmacProfile, Profile, StandardProfile
from pipeline.stages.gateway.ratelimit import Limit
from pipeline.stages.gateway.secrets import Keys
from pipeline.stages.gateway.tradingview import ADDRESSES, TradingViewProfile


class Source(Struct, frozen=True):
    """One source: how it proves who it is, from where it may post and how often.

    `path_tokens`, where there are any, end its path; without the right one there is nothing here.
    """

    name: str
    profile: Profile
    limit: Limit | None = None
    senders: Senders | None = None
    path_tokens: tuple[SharedKey, ...] = ()
    answer_ms: int = 0
    """A sender that waits no longer than this is answered by then; 0: it waits."""
    accepts: frozenset[str] | None = None
    """The kinds of events that it may send; None: every one."""
    gates: int = 0
    """What an event had to pass beside its signature: `checks.ADDRESS` and so on."""


def open_sources(config: Config, keys: Mapping[str, Keys]) -> dict[str, Source]:
    """Every source of `config` by its name."""
    return {name: _opened(name, source, keys[name]) for name, source in config.sources.items()}


def _opened(name: str, source: Settings, keys: Keys) -> Source:
    closed_path = source.profile == "tradingview"
    allowed = source.allow_from or (ADDRESSES if closed_path else ())
    limit = _limit(source)
    gates = (checks.ADDRESS if allowed else 0) | (checks.PATH if closed_path else 0)
    return Source(
        name,
        _profile(name, source, keys),
        limit,
        Senders(allowed, source.trusted_proxies) if allowed else None,
        keys.shared if closed_path else (),
        limits.TRADINGVIEW_ANSWER_MS if closed_path else 0,
        None if set(source.accepts) == set(KINDS) else frozenset(source.accepts),
        gates | (checks.RATE if limit else 0),
    )


def _profile(name: str, source: Settings, keys: Keys) -> Profile:
    if source.profile == "standard":
        return StandardProfile(keys.secrets, source.tolerance_s)
    if source.profile == "github":
        return GitHubProfile(keys.shared, source)
    if source.profile == "tradingview":
        return TradingViewProfile(name, keys.tokens, source)
    return HmacProfile(keys.shared, source, source.hmac)


def _limit(source: Settings) -> Limit | None:
    rate = source.rate_limit
    if not rate.events:
        return None
    burst = rate.burst or rate.events
    return Limit(Gcra(rate.events, rate.period_s * NS_PER_S, burst), rate.events, rate.period_s)
