"""The short form of `python tests/support/chaos.py --kills 1000`; its header says what is checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos import chaos

KILLS = int(os.environ.get("RINGLINE_CHAOS_KILLS", "8"))
SEED = int(os.environ.get("RINGLINE_CHAOS_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * KILLS)
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgres"])
def test_what_was_taken_is_audited_once_and_in_order_whatever_is_done_to_the_processes(
    tmp_path: Path, postgres: bool
) -> None:
    story: list[str] = []
    faults = chaos(tmp_path, KILLS, SEED, story.append, postgres=postgres)
    assert not faults, "\n".join((*story, *faults))
