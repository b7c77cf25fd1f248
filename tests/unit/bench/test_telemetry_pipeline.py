"""What the telemetry bench measures end to end is said by both clocks."""

import pytest

from pipeline.bench import telemetry, telemetry_pipeline
from pipeline.bench.telemetry_pipeline import Rate


def test_a_lossless_rate_is_told_with_and_without_the_time_in_which_others_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(telemetry_pipeline, "FLOOD_S", 0.2)
    rate = telemetry_pipeline._flood("", 10_000)
    assert 0 < rate.wall <= rate.running * 1.000001
    # Never more than was asked for, but for what the last turn wrote early.
    assert rate.running < 11_000


def test_the_rate_by_the_wall_stands_beside_the_one_that_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "lossless", lambda _writer, _target: Rate(3e6, 2e6))
    monkeypatch.setattr(telemetry, "allocations", lambda _writer: (0, 0))
    judged, beside, *_ = telemetry._end_to_end_rows("C")
    assert (judged.value, judged.target, judged.met) == (3e6, 2.5e6, True)
    assert (beside.value, beside.target) == (2e6, None)
    assert "by the clock on the wall" in beside.name
