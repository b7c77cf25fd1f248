"""How kopf is set up: it puts nothing on anything, and no watch can hang."""

from __future__ import annotations

import itertools

from pipeline_operator import limits
from pipeline_operator.runtime.watch import watch_settings


def test_nothing_is_posted_scanned_or_left_to_hang() -> None:
    settings = watch_settings()
    assert not settings.posting.enabled
    assert settings.scanning.disabled
    assert settings.peering.standalone
    assert settings.watching.server_timeout
    assert settings.watching.client_timeout
    assert settings.watching.client_timeout > settings.watching.server_timeout
    assert settings.watching.inactivity_timeout < settings.watching.server_timeout


def test_a_watch_is_never_given_up_and_never_hammered() -> None:
    backoffs = watch_settings().networking.error_backoffs
    assert not hasattr(backoffs, "__len__")  # kopf then counts without an end
    assert not isinstance(backoffs, float)
    taken = list(itertools.islice(iter(backoffs), 200))
    assert taken[0] == limits.FIRST_BACKOFF_S
    assert taken[-1] == limits.MAX_BACKOFF_S
    assert taken == sorted(taken)
