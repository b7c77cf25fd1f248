from __future__ import annotations

import os

from pipeline.replay.memory import measured_memory


def test_a_living_process_has_memory_and_a_dead_one_is_left_out() -> None:
    (own,) = measured_memory([("me", os.getpid()), ("nobody", 2**22 + 1)])
    assert own.name == "me"
    assert 1 << 20 < own.pss_bytes <= own.rss_bytes
