"""Which addresses may post, and whose word is taken for where a request came from.

`X-Forwarded-For` is a list that each proxy appends to, so it is read from its end, and only as far as it
was written by proxies that are trusted: the first address that is none of theirs is the sender's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pipeline import limits
from pipeline.stages.gateway.answer import Header

FORWARDED = b"x-forwarded-for"
Address = IPv4Address | IPv6Address


class AddressList:
    """The addresses and networks in `ranges`."""

    def __init__(self, ranges: Iterable[str]) -> None:
        """Raises ValueError for what is no address or network."""
        self._networks = [ip_network(text) for text in ranges]

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)

    def __bool__(self) -> bool:
        return bool(self._networks)


class Senders:
    """The allow-list of one source, behind the proxies that it trusts."""

    def __init__(self, allowed: Iterable[str], proxies: Iterable[str]) -> None:
        self._allowed = AddressList(allowed)
        self._proxies = AddressList(proxies)

    def admits(self, peer: str | None, headers: Sequence[Header]) -> bool:
        """Whether a request from `peer` with `headers` comes from an address that may post."""
        address = self.origin(peer, headers)
        return address is not None and address in self._allowed

    def origin(self, peer: str | None, headers: Sequence[Header]) -> Address | None:
        """Where the request comes from; None when that cannot be told."""
        address = _address(peer or "")
        if not self._proxies or address is None or address not in self._proxies:
            return address
        given = [value for name, value in headers if name == FORWARDED]
        if not given:
            return address
        for text in reversed(b",".join(given).decode("latin-1").rsplit(",", limits.MAX_FORWARDS)):
            address = _address(text.strip())
            if address is None or address not in self._proxies:
                return address
        return address


def _address(text: str) -> Address | None:
    """An IPv4 address is the same in its IPv6 form; a port after it is none of our concern."""
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
