"""Where a request comes from, and whether it may."""

from __future__ import annotations

import pytest

from pipeline.stages.gateway.addresses import FORWARDED, Senders

SENDERS = Senders(["203.0.113.7", "2001:db8::/32"], ["10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "admitted"),
    [
        ("203.0.113.7", [], True),
        ("203.0.113.8", [], False),
        ("::ffff:203.0.113.7", [], True),
        ("2001:db8::5", [], True),
        (None, [], False),
        ("", [], False),
        ("10.1.2.3", ["203.0.113.7"], True),
        ("::1", ["203.0.113.7"], True),
        ("10.1.2.3", ["203.0.113.7, 10.9.9.9"], True),
        ("10.1.2.3", ["203.0.113.7", "10.9.9.9"], True),
        ("10.1.2.3", ["203.0.113.7:4711"], True),
        ("10.1.2.3", ["[2001:db8::5]:4711"], True),
        ("10.1.2.3", [], False),
        ("10.1.2.3", [""], False),
        ("10.1.2.3", ["garbage"], False),
        # what a sender claims of itself is not believed
        ("198.51.100.1", ["203.0.113.7"], False),
        ("10.1.2.3", ["203.0.113.7, 198.51.100.1"], False),
        ("10.1.2.3", ["203.0.113.7, garbage"], False),
        ("10.1.2.3", ["203.0.113.7" + ", 10.0.0.1" * 40], False),
    ],
)
def test_admission(peer: str | None, forwarded: list[str], admitted: bool) -> None:
    headers = [(FORWARDED, value.encode()) for value in forwarded]
    assert SENDERS.admits(peer, headers) is admitted


def test_without_trusted_proxies_the_peer_is_the_sender() -> None:
    senders = Senders(["203.0.113.7"], [])
    assert not senders.admits("10.0.0.1", [(FORWARDED, b"203.0.113.7")])
