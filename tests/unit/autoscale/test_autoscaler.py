"""The autoscaler against a stage of execs that is made up: load, capacity, and nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.autoscale.autoscaler import Autoscaler
from pipeline.autoscale.listener import Listener
from pipeline.autoscale.settings import Bounds, make_spec
from pipeline.autoscale.state import AutoscaleState, read_state, state_file
from pipeline.clock import FakeClock
from pipeline.config import Config
from pipeline.errors import MissingError
from pipeline.snapshot import Counts, Replica, Snapshot, Stage, encode_snapshot
from pipeline.supervisor import StageStaff
from pipeline_operator.record import Record

STEP_S = 0.5
START_S = 1.0
EACH = 50.0
"""Orders a second of one exec."""


class Made:
    """A pipeline whose execs do EACH orders a second and start within START_S."""

    def __init__(self, most: int = 4) -> None:
        self.clock = FakeClock()
        self.load = 0.0
        self.queued = 0.0
        self.execs = [0.0]
        """When each became or becomes ready, s."""
        self.now_s = 0.0
        self.silent = False
        self.fault = ""
        self.told: list[str] = []
        self.records: list[Record] = []
        self.states: list[bytes] = []
        self._started_ms: list[int] = []
        self._history: list[float] = []
        self._snapshot: Snapshot | None = None
        self._age_ms = 0
        self.scaler = Autoscaler(
            make_spec(Config(), {"exec": Bounds(1, most), "agent": Bounds(1, 1)}, None),
            self, self.newest, self.clock, records=self, records_file="here",
            tell=self.told.append, keep=self.states.append,
        )  # fmt: skip

    @property
    def ready(self) -> int:
        return sum(at_s <= self.now_s for at_s in self.execs)

    def scale(self, stage: str, workers: int) -> None:
        assert stage == "exec"
        del self.execs[workers:]
        self.execs += [self.now_s + START_S] * (workers - len(self.execs))

    def staff(self, stage: str) -> StageStaff:
        if stage != "exec":
            return StageStaff(1, 1, (), 0, (), "")
        starting = len(self.execs) - self.ready
        started, self._started_ms = tuple(self._started_ms), []
        return StageStaff(len(self.execs), self.ready, (500,) * starting, 0, started, self.fault)

    def write(self, record: Record) -> None:
        self.records.append(record)

    def newest(self) -> tuple[Snapshot | None, int, str]:
        return self._snapshot, self._age_ms, "does not answer" if self.silent else ""

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.clock.advance(s=STEP_S)
            self._started_ms += [1000 for at_s in self.execs if self.now_s - STEP_S < at_s <= self.now_s]
            self.queued += self.load * STEP_S
            done = min(self.queued, self.ready * EACH * STEP_S)
            self.queued -= done
            self._history.append(done)
            if self.silent:
                self._age_ms += round(STEP_S * 1000)
            else:
                self._snapshot, self._age_ms = self._taken(), 0
            self.scaler.tick()

    def state(self) -> AutoscaleState:
        return msgspec.json.decode(self.states[-1], type=AutoscaleState)

    def _taken(self) -> Snapshot:
        lag_ms = 1000 * self.queued / (self.ready * EACH)
        counts = {w: round(sum(self._history[-round(w / STEP_S) :])) for w in (1, 5, 60)}
        stages, replicas = [], []
        for name in ("gateway", "agent", "exec", "audit"):
            offered = {w: round(self.load * w) for w in counts}
            handled = offered if name in ("gateway", "agent") else counts
            told = tuple(Counts(window_s=float(w), handled=n) for w, n in handled.items())
            lag = {"gateway": None, "exec": lag_ms}.get(name, 0.0)
            stages.append(Stage(stage=name, lag_ms=lag, depth=0, counts=told, latencies=()))
            replicas.append(Replica(stage=name, ordinal=0, name=f"{name}-0", age_ms=1.0, lag_ms=lag))
        return Snapshot(
            taken_us=self.clock.wall_us(), uptime_s=self.now_s, stages=tuple(stages),
            replicas=tuple(replicas), latencies=(),
        )  # fmt: skip


def test_a_load_above_one_exec_raises_them_and_quiet_lowers_them_again() -> None:
    made = Made()
    made.load = 20
    made.run(10)
    assert len(made.execs) == 1
    made.load = 120
    made.run(30)
    assert 3 <= len(made.execs) <= 4
    assert made.queued < 50
    first = made.state().changes[0]
    assert first.breach_us is not None
    assert first.ready_us is not None
    assert first.met_us is not None
    assert first.decided_us < first.ready_us
    assert first.decided_us <= first.breach_us < first.met_us, "it was ahead of the breach"
    assert made.told[0].startswith("autoscale: exec 1 → ")
    made.load = 20
    made.run(200)
    assert len(made.execs) == 1
    assert [change.after for change in made.state().changes][-1] == 1
    assert len(made.records) < len(made.states) / 3, "what says nothing new is kept once a minute"
    assert {(record.namespace, record.pipeline) for record in made.records} == {("", "local")}


def test_the_most_is_never_exceeded_and_said() -> None:
    made = Made(most=2)
    made.load = 400
    made.run(30)
    assert len(made.execs) == 2
    state = made.state()
    assert "AtCapacity" in state.conditions
    assert {one.stage: (one.least, one.most, one.workers) for one in state.stages}["exec"] == (1, 2, 2)


def test_a_collector_that_is_silent_raises_nothing_by_itself_and_lowers_nothing() -> None:
    made = Made()
    made.load = 120
    made.run(20)
    before = len(made.execs)
    made.silent, made.load = True, 0
    made.run(200)
    assert len(made.execs) == before
    assert "SignalsStale" in made.state().conditions


def test_a_stage_that_cannot_be_had_is_left_alone() -> None:
    made = Made()
    made.fault, made.load = "exec-1 cannot start: port 8014 is in use", 120
    made.run(20)
    assert len(made.execs) == 1
    assert made.fault in made.state().stages[2].sentence


class Collector:
    """Answers what it is told to, or not at all."""

    def __init__(self) -> None:
        self.answer: bytes | None = None

    def __call__(self) -> bytes:
        if self.answer is None:
            raise MissingError("GET: no answer: refused")
        return self.answer


def snapshot(taken_us: int, **changes: Any) -> bytes:
    made = Snapshot(taken_us=taken_us, uptime_s=1, stages=(), replicas=(), latencies=())
    return encode_snapshot(msgspec.structs.replace(made, **changes))


def test_a_snapshot_ages_until_another_is_taken() -> None:
    clock, collector = FakeClock(), Collector()
    listener = Listener(collector, clock)
    listener.look()
    assert listener.newest() == (None, 0, "GET: no answer: refused")
    for answer, age_ms in ((snapshot(1), 0), (snapshot(1), 500), (snapshot(2), 0), (None, 500)):
        clock.advance(ms=500)
        collector.answer = answer
        listener.look()
        assert listener.newest()[1] == age_ms
    assert listener.newest()[2] == "GET: no answer: refused"


@pytest.mark.parametrize("answer", [b"", b"\xff", b"[]", snapshot(9, schema=2)])
def test_what_is_no_snapshot_is_a_fault(answer: bytes) -> None:
    clock, collector = FakeClock(), Collector()
    listener = Listener(collector, clock)
    collector.answer = answer
    listener.look()
    found, _, fault = listener.newest()
    assert found is None
    assert fault


def test_the_state_of_another_version_is_none(tmp_path: Any) -> None:
    file = state_file(str(tmp_path))
    assert read_state(str(tmp_path)) is None
    file.parent.mkdir()
    made = Made()
    made.run(1)
    file.write_bytes(made.states[-1])
    assert read_state(str(tmp_path)) == made.state()
    file.write_bytes(made.states[-1].replace(b'"schema":1', b'"schema":2'))
    assert read_state(str(tmp_path)) is None
