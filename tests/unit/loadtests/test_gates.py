"""Every gate is met by good facts and violated by one planted fault of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from load_facts import AUDITED, BYTES_A_S, PROCESS, STEP, good_facts, step
from msgspec.structs import replace

from loadtests.facts import Ending
from loadtests.gates import Verdict, alone, judge
from loadtests.settings import Gates, load_gates
from loadtests.slope import Slope
from loadtests.tally import Totals
from pipeline.errors import ConfigError, MissingError

GATES = Gates()


def sure(mb_per_h: float) -> Slope:
    value = mb_per_h * BYTES_A_S
    return Slope(value, value, value, 40)


def verdict(name: str, shape: str = "load", gates: Gates = GATES, **changes: Any) -> Verdict:
    found = [one for one in judge(good_facts(shape, **changes), gates) if one.name == name]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]


def test_good_facts_meet_every_gate() -> None:
    assert {found.verdict for found in judge(good_facts(), GATES)} == {"met"}


@pytest.mark.parametrize(
    ("gate", "shape", "fault"),
    [
        ("completed", "load", {"ending": Ending(ran_s=20, fault="the pipeline ended")}),
        ("p95", "load", {"p95_ms": 100.0}),
        ("p95", "load", {"p95_ms": None}),
        ("errors", "load", {"errors": 901}),
        ("errors", "load", {"met": 0}),
        ("rate", "load", {"met": 881_999}),
        ("rate", "load", {"planned": 0.0}),
        ("throughput", "load", {"met": 719_000}),
        ("leak agent-0", "load", {"processes": (replace(PROCESS, slope=sure(11)),)}),
        ("recovered", "spike", {"recovered_s": 6.0}),
        ("recovered", "spike", {"recovered_s": None}),
        ("drained", "load", {"drained_s": 10.5}),
        ("drained", "load", {"drained_s": None, "drain_watched_s": 60.0}),
        ("accepted is audited", "load", {"audited": replace(AUDITED, lost=1)}),
        ("journal is audited", "load", {"audited": replace(AUDITED, journalled=800_001)}),
        ("audited was sent", "load", {"audited": replace(AUDITED, unsent=1)}),
        ("duplicates", "load", {"audited": replace(AUDITED, twice=1)}),
        ("audit verifies", "load", {"audited": replace(AUDITED, verifies=False, detail="row 7")}),
        ("audit verifies", "load", {"audited": None, "audit_fault": "it is not there"}),
        ("reads", "load", {"read_errors": 11}),
        ("feed", "load", {"gaps": 1}),
        ("knee", "stress", {"steps": (step(0, shed=1),)}),
        ("knee", "stress", {"steps": ()}),
    ],
)
def test_a_planted_fault_turns_its_gate_red(gate: str, shape: str, fault: dict[str, Any]) -> None:
    good, bad = verdict(gate, shape), verdict(gate, shape, **fault)
    assert (good.verdict, bad.verdict) == ("met", "violated")
    assert bad.sentence.endswith(".") or "ended after" in bad.sentence


def test_what_is_shed_is_no_error_but_is_missed_by_the_rate() -> None:
    changes: dict[str, Any] = {"met": 800_000, "shed": 100_000}
    assert verdict("errors", **changes).verdict == "met"
    assert verdict("rate", **changes).verdict == "violated"


def test_throughput_is_not_judged_of_a_shape_that_plans_less() -> None:
    assert verdict("throughput", planned=90_000.0, met=90_000).verdict == "unknown"


def test_a_leak_whose_interval_holds_the_limit_is_not_to_be_told() -> None:
    wide = replace(PROCESS, slope=Slope(9 * BYTES_A_S, 2 * BYTES_A_S, 15 * BYTES_A_S, 40))
    assert verdict("leak agent-0", processes=(wide,)).verdict == "unknown"


def test_a_leak_is_not_to_be_told_from_a_short_test() -> None:
    short = replace(PROCESS, slope=sure(99), judged_s=60.0)
    found = verdict("leak agent-0", processes=(short,))
    assert found.verdict == "unknown"
    assert "too short to tell" in found.sentence


def test_past_the_knee_only_safety_is_judged() -> None:
    steps = (STEP, step(1, p95_ms=900.0, met=100_000, errors=5_000))
    facts = {"steps": steps, "p95_ms": 900.0, "errors": 5_000, "met": 1_000_000, "planned": 1_800_000.0}
    found = {one.name: one.verdict for one in judge(good_facts("stress", **facts), GATES)}
    assert found["knee"] == found["p95"] == found["errors"] == found["rate"] == "met"
    lost = judge(good_facts("stress", **facts, audited=replace(AUDITED, lost=3)), GATES)
    assert [one.name for one in lost if one.verdict == "violated"] == ["accepted is audited"]


def test_nothing_known_about_duplicates_is_said_so() -> None:
    assert verdict("duplicates", audited=replace(AUDITED, repeated=0)).verdict == "unknown"


def test_an_audit_that_cannot_be_read_from_here_fails_nothing() -> None:
    by_http = verdict(
        "audit verifies", audited=replace(AUDITED, verifies=None, detail="its HTTP does not tell")
    )
    assert (by_http.verdict, by_http.sentence) == ("unknown", "Not verified: its HTTP does not tell.")
    found = verdict("audit verifies", audited=None, audit_fault="elsewhere", expects_audit=False)
    assert found.verdict == "unknown"


def test_a_restarted_gateway_leaves_the_journal_unjudged() -> None:
    assert verdict("journal is audited", audited=replace(AUDITED, journalled=None)).verdict == "unknown"


def test_without_the_audits_http_nobody_read() -> None:
    assert verdict("reads", reads=0).verdict == "unknown"


def test_gates_are_set_by_a_file(tmp_path: Path) -> None:
    file = tmp_path / "gates.toml"
    file.write_text("p95_ms = 10\nerrors_percent = 0\n")
    gates = load_gates(file)
    assert gates == Gates(p95_ms=10, errors_percent=0)
    assert verdict("p95", gates=gates).verdict == "violated"
    assert verdict("errors", gates=gates).verdict == "met"


@pytest.mark.parametrize("text", ["p95 = 10", "p95_ms = -1", "p95_ms = 'fast'", "p95_ms ="])
def test_a_wrong_gates_file_is_refused_with_what_is_wrong(tmp_path: Path, text: str) -> None:
    file = tmp_path / "gates.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"gates .*gates\.toml"):
        load_gates(file)


def test_a_missing_gates_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="No such file"):
        load_gates(tmp_path / "none.toml")


def test_locust_by_itself_is_judged_by_its_answers() -> None:
    totals = Totals(met=90, errors=10, planned=100.0)
    found = {one.name: one.verdict for one in alone(totals, GATES)}
    assert found == {"p95": "violated", "errors": "violated", "rate": "violated"}


def test_a_spike_itself_is_told_and_not_judged() -> None:
    steps = (STEP, step(1, p95_ms=9000.0, met=10_000, errors=5_000, shed=80_000), step(2))
    facts = {"steps": steps, "p95_ms": 9000.0, "errors": 5_000, "shed": 80_000}
    found = {one.name: one for one in judge(good_facts("spike", **facts), GATES)}
    assert {found[name].verdict for name in ("p95", "errors", "rate", "throughput")} == {"met"}
    assert "in it, for information: p95 9,000 ms" in found["p95"].sentence
    assert "80,000 shed, 5,000 errors" in found["errors"].sentence


@pytest.mark.parametrize("where", [0, 2])
def test_what_is_bad_before_or_after_a_spike_is_judged(where: int) -> None:
    bad = {"p95_ms": 150.0, "met": 700_000, "errors": 2_000}
    steps = tuple(step(n, **(bad if n == where else {})) for n in range(3))
    found = {one.name: one.verdict for one in judge(good_facts("spike", steps=steps), GATES)}
    assert found["p95"] == found["errors"] == found["rate"] == "violated"


def test_a_spike_that_lost_an_event_fails_as_any_other() -> None:
    assert verdict("accepted is audited", "spike", audited=replace(AUDITED, lost=1)).verdict == "violated"
