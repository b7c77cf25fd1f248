"""The state of a key, read from its rows: the same whatever was remembered of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traded import Desk, candle, write_audit

from pipeline import limits
from pipeline.config import Config, load
from pipeline.delivery import Delivery
from pipeline.errors import UsageError
from pipeline.messages import Candle, decode_event
from pipeline.stages.agent_state import StateReader
from pipeline.storage.audit import AuditReader
from pipeline.trading.cores import agent_logic

EVERY = 4


def configured(folder: Path) -> Config:
    return load(assignments=[f"data_dir={folder}/data", f"audit.state_every={EVERY}"])


def rows_of(config: Config, key: str, days: range) -> list[Delivery]:
    desk, logic = Desk(config, key), agent_logic(config.trading, config.exec)
    rows = [desk.handle(candle(day, f"{10 + day % 7}", key), f"{key}-{day}") for day in days]
    for row in rows:
        row.code = logic.code
    return rows


@given(st.lists(st.integers(0, 2 * EVERY + 1), max_size=4))
def test_it_is_the_state_of_whoever_reads_all(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    config = configured(tmp_path_factory.mktemp("audit"))
    logic = agent_logic(config.trading, config.exec)
    rows = rows_of(config, "AAPL", range(1, 32))
    remembering, done = StateReader(logic, EVERY), 0
    for step in [1, *steps]:
        write_audit(config, rows[done : done + step])
        done = min(done + step, len(rows))
        reader = AuditReader.open(Path(config.data_dir) / "audit.sqlite")
        found = remembering.read(reader, "AAPL")
        assert logic.encode(found) == logic.encode(StateReader(logic, EVERY).read(reader, "AAPL"))
        last = decode_event(rows[done - 1].payload)
        assert isinstance(last, Candle)
        assert found.candle_us == last.time_us
        reader.close()


def test_no_more_keys_are_remembered_than_there_is_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BOOK_STATES", 2)
    config = configured(tmp_path)
    rows = [row for key in ("A", "B", "C") for row in rows_of(config, key, range(1, 4))]
    reader = AuditReader.open(write_audit(config, rows))
    states = StateReader(agent_logic(config.trading, config.exec), EVERY)
    for _ in range(2):
        assert [states.read(reader, key).symbol for key in ("A", "B", "C")] == ["A", "B", "C"]
        assert len(states._known) == 2
    reader.close()


def test_rows_that_were_decided_otherwise_are_refused(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = rows_of(config, "AAPL", range(1, 4))
    rows[-1].code = "2-other"
    reader = AuditReader.open(write_audit(config, rows))
    with pytest.raises(UsageError, match="AAPL: the pipeline decides as 2-other"):
        StateReader(agent_logic(config.trading, config.exec), EVERY).read(reader, "AAPL")
    reader.close()
