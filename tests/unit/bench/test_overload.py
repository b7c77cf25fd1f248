"""How an overload is judged."""

from __future__ import annotations

import msgspec
import pytest

from pipeline.bench.overload_results import Overload, results
from pipeline.bench.paced import Answers
from pipeline.figures import Result
from pipeline.limits import OVERLOAD_MEMORY_BYTES

TOO_MUCH = 10_000_001 + OVERLOAD_MEMORY_BYTES
ANSWERS = Answers(2000, 1.0, {202: 200, 429: 1500, 503: 300}, 0, 0, [1000])
GOOD = Overload(
    name="limited source",
    base="what it may send",
    base_per_s=200.0,
    answers=ANSWERS,
    rest_bytes={"gateway-0": 10_000_000},
    highest_bytes={"gateway-0": 12_000_000},
    normal_ms=4.0,
    drain_s=3.0,
    normal_s=7.5,
    settled_s=2.0,
    accepted=200,
    rows=200,
)


def judged(one: Overload, restarts: int = 0) -> dict[str, Result]:
    return {row.name: row for row in results([one], 10, restarts)}


def missed(one: Overload, restarts: int = 0) -> set[str]:
    return {name for name, row in judged(one, restarts).items() if row.met is False}


def test_what_is_as_it_should_be_misses_nothing() -> None:
    assert not missed(GOOD)
    rows = judged(GOOD)
    assert rows["limited source: refused, 503"].value == 300
    assert rows["limited source: new requests as before"].value == 4.5
    assert rows["limited source: all audited"].value == 0.0
    assert rows["limited source: memory of gateway-0 above rest"].value == 2.0


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"answers": ANSWERS._replace(elapsed_s=1.1)}, "offered"),
        ({"answers": ANSWERS._replace(statuses={202: 1999, 500: 1})}, "answered otherwise"),
        ({"answers": ANSWERS._replace(unexplained=1)}, "refused without Retry-After"),
        ({"answers": ANSWERS._replace(lost=1)}, "not answered"),
        ({"normal_s": 8.1}, "new requests as before"),
        ({"normal_s": None}, "new requests as before"),
        ({"settled_s": 8.1}, "all audited"),
        ({"rows": 199}, "audited"),
        ({"highest_bytes": {"gateway-0": TOO_MUCH}}, "memory of gateway-0 above rest"),
    ],
)  # fmt: skip
def test_each_rule_can_be_broken(change: dict[str, object], name: str) -> None:
    assert missed(msgspec.structs.replace(GOOD, **change)) == {f"limited source: {name}"}


def test_a_worker_that_died_is_told() -> None:
    assert missed(GOOD, restarts=1) == {"workers started again"}
