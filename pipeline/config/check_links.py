"""Rules of the links: credit and timers that work, and keys wherever others can reach them."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import limits
from pipeline.config.fault import Fault
from pipeline.config.hosts import is_loopback
from pipeline.config.schema import Config


def check_links(config: Config) -> Iterator[Fault]:
    links = config.links
    if links.depth > links.credit // limits.KEY_SHARE:
        yield Fault(
            f"links.depth = {links.depth}: at most a quarter of links.credit "
            f"({links.credit // limits.KEY_SHARE}), so that one key never fills a link",
            ("links.depth", "links.credit"),
        )
    if links.dead_after_ms < 3 * links.heartbeat_ms:
        yield Fault(
            f"links.dead_after_ms = {links.dead_after_ms}: at least 3 × links.heartbeat_ms "
            f"({3 * links.heartbeat_ms}), or one late heartbeat kills a link",
            ("links.dead_after_ms", "links.heartbeat_ms"),
        )
    yield from _curve(config)


def exposed_links(config: Config) -> dict[str, str]:
    """The keys and values of hosts that links use and that others than this machine reach."""
    hosts = {
        "agent.host": config.agent.host, "exec.host": config.exec.host, "audit.host": config.audit.host
    }  # fmt: skip
    return {key: host for key, host in hosts.items() if not is_loopback(host)}


def _curve(config: Config) -> Iterator[Fault]:
    links = config.links
    named = ("links.curve", "links.key_file", "links.key_env")
    if links.key_file and links.key_env:
        yield Fault("links.key_env: not beside links.key_file; one of them holds the keys", named)
    if links.key_file or links.key_env:
        return
    if links.curve == "on":
        yield Fault(
            'links.curve = "on": needs links.key_file or links.key_env; `ringline keys links FILE` makes one',
            named,
        )
    elif links.curve == "auto" and (exposed := exposed_links(config)):
        name, host = next(iter(exposed.items()))
        yield Fault(
            f"{name} = {host!r}: links that others than this machine reach need "
            "links.key_file or links.key_env (`ringline keys links FILE` makes one); "
            'links.curve = "off" leaves them open',
            (*named, *exposed),
        )
