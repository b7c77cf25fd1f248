"""Readiness: draining, a failed journal, a wall clock that steps."""

from __future__ import annotations

from pipeline.clock import FakeClock
from pipeline.stages.gateway.health import Health, WallWatch


def test_a_fresh_gateway_is_ready() -> None:
    health = Health(FakeClock())
    assert health.unready() == ""
    assert health.refusal is None


def test_draining_refuses_events_and_is_not_ready() -> None:
    health = Health(FakeClock())
    health.drain()
    assert health.refusal is not None
    assert health.refusal.status == 503
    assert (b"connection", b"close") in health.refusal.headers
    assert health.unready() == "draining"


def test_a_failed_journal_stays_the_reason_while_draining() -> None:
    health = Health(FakeClock())
    refusal = health.fail("journal: I/O error")
    health.drain()
    assert health.refusal is refusal
    assert health.unready() == "journal: I/O error"


def test_a_step_of_the_wall_clock_makes_it_unready_until_it_is_undone() -> None:
    clock = FakeClock()
    health = Health(clock)
    clock.step_wall(-1_500_000)
    assert health.unready() == "the wall clock stepped by -1.500 s; the limit is 1 s"
    clock.advance(s=60)
    assert health.unready() != ""
    assert health.refusal is None
    clock.step_wall(1_500_000)
    assert health.unready() == ""


def test_a_clock_that_drifts_slowly_is_followed() -> None:
    clock = FakeClock()
    watch = WallWatch(clock)
    for _ in range(10):
        clock.advance(s=1)
        clock.step_wall(900_000)
        assert watch.look() == 0
    clock.step_wall(1_000_001)
    assert watch.look() == 1_000_001


def test_a_pause_between_two_readings_is_no_step() -> None:
    class Pausing(FakeClock):
        def wall_us(self) -> int:
            self.advance(s=5)
            return super().wall_us()

    clock = Pausing()
    watch = WallWatch(clock)
    assert watch.look() == 0


def test_a_passing_lack_of_room_refuses_events_while_it_lasts_and_no_longer() -> None:
    health = Health(FakeClock())
    health.crowd("disk: 3 MiB free, below 64 MiB")
    assert health.refusal is not None
    assert health.refusal.status == 503
    assert "3 MiB free" in health.unready()
    health.crowd("")
    assert health.refusal is None
    assert not health.unready()


def test_room_again_ends_neither_a_failure_nor_a_drain() -> None:
    health = Health(FakeClock())
    health.fail("the disk said no")
    health.crowd("")
    assert health.unready() == "the disk said no"
    leaving = Health(FakeClock())
    leaving.crowd("disk: full")
    leaving.drain()
    leaving.crowd("")
    assert leaving.unready() == "draining"
