from __future__ import annotations

import numpy as np
import pytest

from pipeline.backtest.columns import from_floats
from pipeline.backtest.synthetic import synthetic
from pipeline.config.schema import Trading
from pipeline.errors import UsageError
from pipeline.trading.instruments import Instruments

INSTRUMENT = Instruments(Trading()).of("B")


def test_floats_of_ticks_become_the_integers_they_stand_for() -> None:
    made = synthetic("B", 1_000, 1)
    prices = [column / 1e4 for column in (made.open, made.high, made.low, made.close)]
    again = from_floats("B", INSTRUMENT, made.time_us, *prices, made.volume / 1e4)  # type: ignore[call-arg]
    for column, other in zip(again.columns, made.columns, strict=True):
        assert np.array_equal(column, other)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (1, 0.00005, "row 1: open: 5e-05 is no multiple"),
        (2, float("nan"), "row 1: high: nan is no multiple"),
        (3, 1e300, "row 1: low: 1e\\+300 is beyond"),
        (4, -1.0, "row 1: close: -10000 must be positive"),
        (4, 900.0, "row 1: open, high, low, close: 9000000 open and close must be"),
        (5, -1.0, "row 1: volume: -10000 is negative"),
        (0, 0, "row 1: time: 0 is not after"),
    ],
)
def test_the_first_wrong_row_is_named(field: int, value: float, message: str) -> None:
    made = synthetic("B", 3, 1)
    columns = [made.time_us.copy(), *(column / 1e4 for column in made.columns[1:])]
    columns[field][1] = value
    with pytest.raises(UsageError, match=message):
        from_floats("B", INSTRUMENT, *columns)  # type: ignore[arg-type]
