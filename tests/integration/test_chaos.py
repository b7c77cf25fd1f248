"""The short form of `python tests/support/chaos.py --kills 1000`; its header says what is checked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from chaos import LONG_KILLS, LONGEST_OUTAGE_S, Options, chaos

KILLS = int(os.environ.get("RINGLINE_CHAOS_KILLS", "6"))
SEED = int(os.environ.get("RINGLINE_CHAOS_SEED", "1"))
OUTAGE_S = LONGEST_OUTAGE_S if KILLS >= LONG_KILLS else 2.0


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * KILLS)
@pytest.mark.parametrize("servers", [False, True], ids=["sqlite", "postgres-and-redis"])
def test_what_was_taken_is_audited_once_and_in_order_whatever_is_done_to_the_processes(
    tmp_path: Path, servers: bool
) -> None:
    story: list[str] = []
    options = Options(KILLS, SEED, postgres=servers, redis=servers, longest_outage_s=OUTAGE_S)
    faults = chaos(tmp_path, options, story.append)
    assert not faults, "\n".join((*story, *faults))
