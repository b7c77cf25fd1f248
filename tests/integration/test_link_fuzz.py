"""Whatever bytes a link brings, no node fails or grows; what is no frame is told apart and counted.

The long form: RINGLINE_FUZZ_CASES=10000000 RINGLINE_FUZZ_SEED=1 pytest tests/integration/test_link_fuzz.py
A failure names seed and case; RINGLINE_FUZZ_FIRST starts there.
"""

from __future__ import annotations

import os

import pytest
from link_fuzz import KINDS, fuzz

CASES = int(os.environ.get("RINGLINE_FUZZ_CASES", "3000"))
SEED = int(os.environ.get("RINGLINE_FUZZ_SEED", "1"))
FIRST = int(os.environ.get("RINGLINE_FUZZ_FIRST", "0"))


@pytest.mark.timeout(120 + CASES // 500)
@pytest.mark.parametrize("steps", KINDS)
def test_no_mutated_frame_breaks_a_node_or_makes_it_grow(steps: str) -> None:
    accepted, refused = fuzz(SEED, CASES, FIRST, steps)
    assert accepted + refused == CASES
    assert min(accepted, refused) > CASES // 10
