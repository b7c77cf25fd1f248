from __future__ import annotations

import os

from pipeline.machine import machine, versions


def test_the_machine_says_how_many_processors_may_be_used() -> None:
    assert machine().cpus == len(os.sched_getaffinity(0))
    assert machine().memory_bytes > 1 << 28


def test_versions_name_what_speed_depends_on() -> None:
    assert {"ringline", "python", "sqlite", "msgspec", "uvloop"} <= set(versions())
