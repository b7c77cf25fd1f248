"""Rules of the valuation: what would show books to strangers, or value them by nothing, is refused here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline import limits
from pipeline.config.check_feed import is_loopback
from pipeline.config.fault import Fault
from pipeline.config.schema import Config


def check_valuation(config: Config) -> Iterator[Fault]:
    """Every fault, one line each."""
    valuation = config.valuation
    named = {
        f"valuation.{role}_token_{kind}": getattr(valuation, f"{role}_token_{kind}")
        for role in ("read", "control")
        for kind in ("files", "env")
    }
    if not is_loopback(valuation.host) and not any(named.values()):
        yield Fault(
            f"valuation.host = {valuation.host!r}: beyond loopback it needs a token, in "
            "valuation.read_token_files or valuation.read_token_env, for it shows what is held",
            ("valuation.host", *named),
        )
    for role in ("read", "control"):
        keys = (f"valuation.{role}_token_files", f"valuation.{role}_token_env")
        count = sum(len(named[key]) for key in keys)
        if count > limits.MAX_SECRETS_A_SOURCE:
            yield Fault(f"valuation: {count} {role} tokens; the limit is {limits.MAX_SECRETS_A_SOURCE}", keys)
    for index, origin in enumerate(valuation.allow_origins):
        if not re.fullmatch(r"https?://[^/\s?#]+", origin):
            yield Fault(
                f"valuation.allow_origins[{index}] = {origin!r}: expected http(s)://HOST or …://HOST:PORT"
            )
    yield from _models(config)
    if valuation.feed_url and not re.fullmatch(r"https?://[^/\s?#]+/?", valuation.feed_url):
        yield Fault(f"valuation.feed_url = {valuation.feed_url!r}: expected http(s)://HOST:PORT")
    if valuation.enabled and valuation.feed and not (config.feed.enabled or valuation.feed_url):
        yield Fault(
            "valuation.feed = true: feed.enabled is false, so there is none to take marks from",
            ("valuation.feed", "valuation.enabled", "feed.enabled", "valuation.feed_url"),
        )


def _models(config: Config) -> Iterator[Fault]:
    valuation = config.valuation
    if valuation.model not in valuation.models:
        yield Fault(
            f"valuation.model = {valuation.model!r}: is none of valuation.models "
            f"({', '.join(sorted(valuation.models)) or 'none'})",
            ("valuation.model", "valuation.models"),
        )
    for name, model in valuation.models.items():
        key = f"valuation.models.{name}"
        if model.kind == "custom" and not model.source:
            yield Fault(f"{key}.source: missing; a custom model is FILE.py:CLASS or an entry point", (key,))
        if model.kind in ("vwap", "ewma", "median") and model.bars > valuation.history_bars:
            yield Fault(
                f"{key}.bars = {model.bars}: more than valuation.history_bars ({valuation.history_bars})",
                (key, "valuation.history_bars"),
            )
