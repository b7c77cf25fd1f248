"""The Lease, on a real API server, with clocks that are moved by hand."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from pipeline.clock import FakeClock
from pipeline_operator import limits
from pipeline_operator.kube import paths
from pipeline_operator.kube.lease import NAME, Lease
from pipeline_operator.trial.stand import Stand

Runs = Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]


def test_a_holder_that_falls_silent_stops_before_the_next_one_begins(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        clocks = FakeClock(), FakeClock()
        first, second = (
            Lease(stand.api, stand.namespace, name, clock)
            for name, clock in zip(("one", "two"), clocks, strict=True)
        )
        await first.step()
        await second.step()
        assert (first.held, second.held, second.holder) == (True, False, "one")
        for clock in clocks:
            clock.advance(s=limits.LEASE_DEADLINE_S)
        await second.step()
        assert (first.held, second.held) == (False, False)
        for clock in clocks:
            clock.advance(s=limits.LEASE_DURATION_S - limits.LEASE_DEADLINE_S)
        await second.step()
        assert (second.held, second.transitions) == (True, 1)
        await first.step()
        assert (first.held, first.holder) == (False, "two")

    on_a_stand(work)


def test_a_holder_that_renews_is_never_taken_for_dead_whatever_the_clocks_say(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        clock, far_off = FakeClock(), FakeClock(wall_us=4_000_000_000_000_000)
        first = Lease(stand.api, stand.namespace, "one", clock)
        second = Lease(stand.api, stand.namespace, "two", far_off)
        for _ in range(8):
            await first.step()
            await second.step()
            assert (first.held, second.held) == (True, False)
            for one in (clock, far_off):
                one.advance(s=limits.LEASE_RENEW_EVERY_S)

    on_a_stand(work)


def test_a_lease_that_is_given_back_is_free_at_once(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        first = Lease(stand.api, stand.namespace, "one", FakeClock())
        second = Lease(stand.api, stand.namespace, "two", FakeClock())
        await first.step()
        await second.step()
        await first.release()
        assert not first.held
        await second.step()
        assert second.held
        await first.release()  # not ours any more: nothing happens
        lease = await stand.api.get(paths.leases(stand.namespace, NAME))
        assert lease["spec"]["holderIdentity"] == "two"

    on_a_stand(work)


def test_odd_words_in_a_lease_break_nothing(on_a_stand: Runs) -> None:
    async def work(stand: Stand) -> None:
        clock = FakeClock()
        lease = Lease(stand.api, stand.namespace, "one", clock)
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NAME}}
        await stand.api.create(paths.leases(stand.namespace), body)
        await lease.step()
        assert lease.held

    on_a_stand(work)
