from __future__ import annotations

import os

from pipeline.replay.machine import machine, measured_memory, versions


def test_a_living_process_has_memory_and_a_dead_one_is_left_out() -> None:
    (own,) = measured_memory([("me", os.getpid()), ("nobody", 2**22 + 1)])
    assert own.name == "me"
    assert 1 << 20 < own.pss_bytes <= own.rss_bytes


def test_the_machine_says_how_many_processors_may_be_used() -> None:
    assert machine().cpus == len(os.sched_getaffinity(0))
    assert machine().memory_bytes > 1 << 28


def test_versions_name_what_speed_depends_on() -> None:
    assert {"ringline", "python", "sqlite", "msgspec", "uvloop"} <= set(versions())
