"""Which copied entries are whole: what their proof words say, many at a time.

`layout.mixed` makes the words of rings of `proof` 1; here the sequence is taken out of them again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.telemetry import layout
from pipeline.telemetry.layout import Proof
from pipeline.telemetry.ring_words import Entries

_MIXED = int(Proof.MIXED)
# Signed, as entries are read; products wrap around at 64 bits.
_MIX_END, _MIX_VALUE, _UNMIX = np.array(
    [layout.MIX_END, layout.MIX_VALUE, layout.UNMIX_SEQUENCE], dtype=np.uint64
).view(np.int64)


def proven_rows(rows: Entries, first: int, proof: int) -> npt.NDArray[np.bool_]:
    """Which of `rows` are entries number `first`, `first` + 1, …, whole."""
    expected: npt.NDArray[np.bool_] = sequences(rows, proof) == np.arange(first + 1, first + 1 + len(rows))
    return expected


def sequences(rows: Entries, proof: int) -> npt.NDArray[np.int64]:
    """The sequence that each row claims."""
    words: npt.NDArray[np.int64] = rows[:, 3]
    if proof != _MIXED:
        return words
    found: npt.NDArray[np.int64] = _UNMIX * (
        words ^ rows[:, 0] * _MIX_END ^ rows[:, 1] * _MIX_VALUE ^ rows[:, 2]
    )
    return found
