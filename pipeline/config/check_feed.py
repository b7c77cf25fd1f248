"""Rules of the feed: what would show trades to strangers is refused here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from pipeline import limits
from pipeline.config.fault import Fault
from pipeline.config.schema import Config


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_feed(config: Config) -> Iterator[Fault]:
    """Every fault, one line each."""
    feed = config.feed
    named = {
        "feed.read_token_files": feed.read_token_files,
        "feed.read_token_env": feed.read_token_env,
        "feed.control_token_files": feed.control_token_files,
        "feed.control_token_env": feed.control_token_env,
    }
    if feed.enabled and not is_loopback(feed.host) and not any(named.values()):
        yield Fault(
            f"feed.host = {feed.host!r}: beyond loopback it needs a token, in feed.read_token_files or "
            "feed.read_token_env, for it shows every trade",
            ("feed.host", *named),
        )
    for role in ("read", "control"):
        keys = (f"feed.{role}_token_files", f"feed.{role}_token_env")
        count = sum(len(named[key]) for key in keys)
        if count > limits.MAX_SECRETS_A_SOURCE:
            yield Fault(f"feed: {count} {role} tokens; the limit is {limits.MAX_SECRETS_A_SOURCE}", keys)
    for index, origin in enumerate(feed.allow_origins):
        if not re.fullmatch(r"https?://[^/\s?#]+", origin):
            yield Fault(f"feed.allow_origins[{index}] = {origin!r}: expected http(s)://HOST or …://HOST:PORT")
