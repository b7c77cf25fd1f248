"""Rules of the valuation: what would show books to strangers, or value them by nothing, is refused here."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.config.check_access import check_access
from pipeline.config.fault import Fault
from pipeline.config.schema import Config


def check_valuation(config: Config) -> Iterator[Fault]:
    """Every fault, one line each."""
    valuation = config.valuation
    yield from check_access("valuation", valuation, served=True, shows="what is held")
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
