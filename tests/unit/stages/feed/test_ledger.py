"""What the page adds up is what the audit holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traded import Desk, candle, halt, write_audit

from pipeline import limits
from pipeline.config import Config, load
from pipeline.delivery import Delivery
from pipeline.messages import EventIn, SignalIn
from pipeline.stages.feed.ledger import Ledger
from pipeline.storage.audit import AuditReader
from pipeline.storage.audit.chain import Link
from pipeline.storage.audit.database import SqliteDatabase
from pipeline.trading.agent import AgentLogic
from pipeline.trading.exec import partial_fills
from pipeline.trading.instruments import Instruments
from pipeline.trading.pnl import profit_and_loss
from pipeline.web.view import BookView

KEYS = ("AAPL", "JPM", "MSFT")


def configured(folder: Path) -> Config:
    return load(
        assignments=[
            f"data_dir={folder}/data",
            "trading.strategies={}",
            'trading.throttles=[{"name": "one", "max_trades": 1, "window_seconds": 3600}]',
        ]
    )


def traded(config: Config, keys: tuple[str, ...] = KEYS, code: str = "") -> list[Delivery]:
    """In each key an order, its fill, a denied second one; then the first key is halted."""
    logic = AgentLogic(config.trading, config.exec.fill_policy, partial_fills=partial_fills(config.exec))
    rows: list[Delivery] = []
    for key in keys:
        desk = Desk(config, key)
        buy = SignalIn(symbol=key, side="buy", quantity="2.5")
        posted: list[EventIn] = [
            candle(1, "10.25", key),
            buy,
            candle(2, "10.50", key),
            buy,
            candle(3, "11.50", key),
        ]
        rows += [desk.handle(event, f"{key}-{index}") for index, event in enumerate(posted)]
        if key == keys[0]:
            rows.append(desk.handle(halt("fat finger"), "stop"))
    for row in rows:
        row.code = code or logic.code
    return rows


def book_of(ledger: Ledger, reader: AuditReader) -> BookView:
    """After as many turns as it wants."""
    view = ledger.turn(reader)
    turns = 1
    while ledger.behind:
        view = ledger.turn(reader)
        turns += 1
        assert turns < 1000
    return view


def interleaved(rows: list[Delivery]) -> list[Delivery]:
    """Each key's rows in their order, the keys in turns."""
    return sorted(rows, key=lambda row: row.key_seq)


class Overtaken(AuditReader):
    """Rows are written between its first answer and the next."""

    overtake: Callable[[], object] | None = None

    def head(self) -> Link:
        found = super().head()
        if self.overtake is not None:
            overtake, self.overtake = self.overtake, None
            overtake()
        return found


class Noting(SqliteDatabase):
    """Notes what it is asked."""

    asked: list[str]

    def fetch(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        self.asked.append(query)
        return super().fetch(query, parameters)


def test_positions_outcomes_denials_throttles_and_halts_are_those_of_the_rows(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = traded(config)
    reader = AuditReader.open(write_audit(config, rows))
    view = book_of(Ledger(config), reader)
    expected = profit_and_loss(rows, Instruments(config.trading))
    assert view.lines == tuple(msgspec.to_builtins(line) for line in expected)
    assert view.lines[0]["last_close"] == "11.5"
    assert view.outcomes == reader.outcomes()
    assert view.denials == {"THROTTLE_WINDOW": len(KEYS)}
    assert (view.seq, view.head, view.since) == (len(rows), len(rows), 1)
    assert view.halted == ("AAPL",)
    assert (view.halted_count, view.keys) == (1, len(KEYS))
    assert view.fault == ""
    reader.close()


def test_of_too_many_positions_the_closed_ones_are_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path)
    rows = traded(config)
    desk = Desk(config, "AAA")
    posted: list[EventIn] = [
        candle(1, "10.25", "AAA"),
        SignalIn(symbol="AAA", side="buy", quantity="1"),
        candle(2, "10.50", "AAA"),
        SignalIn(symbol="AAA", side="sell", quantity="1"), candle(3, "10.50", "AAA"),
    ]  # fmt: skip
    closed = [desk.handle(event, f"closed-{index}") for index, event in enumerate(posted)]
    for row in closed:
        row.code = rows[0].code
    reader = AuditReader.open(write_audit(config, closed + rows))
    everything = book_of(Ledger(config), reader)
    assert [line["symbol"] for line in everything.lines] == ["AAA", *KEYS]
    assert everything.lines[0]["position"] == "0"
    monkeypatch.setattr(limits, "BOOK_LINES", len(KEYS))
    view = book_of(Ledger(config), reader)
    assert view.lines == everything.lines[1:]
    assert view.lines_left_out == 1
    reader.close()


def test_a_throttle_tells_what_remains_and_when_it_lets_pass_again(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = traded(config, ("AAPL",))[:2]
    reader = AuditReader.open(write_audit(config, rows))
    (one,) = book_of(Ledger(config), reader).throttles
    assert (one["remaining_trades"], one["max_trades"], one["state"]) == (0, 1, "rate_limited")
    assert one["retry_at"] > one["as_of"]
    reader.close()


def test_reading_on_adds_what_is_new_and_nothing_twice(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = traded(config)
    ledger = Ledger(config)
    for upto in (3, 4, len(rows)):
        reader = AuditReader.open(write_audit(config, rows[:upto]))
        view = book_of(ledger, reader)
        assert view == book_of(Ledger(config), reader)
        reader.close()
    assert view.denials == {"THROTTLE_WINDOW": len(KEYS)}


@given(
    steps=st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=6),
    few=st.sampled_from([0, 2, 500]),
    keys_a_turn=st.sampled_from([1, 32]),
)
@settings(deadline=None, max_examples=40)
def test_told_in_any_slices_it_is_what_it_is_read_whole(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]], few: int, keys_a_turn: int
) -> None:
    config = configured(tmp_path_factory.mktemp("audit"))
    rows = interleaved(traded(config))
    ledger, done = Ledger(config), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "BOOK_FRESH_ROWS", few)
        patch.setattr(limits, "BOOK_KEYS", keys_a_turn)
        for step, whole in [*steps, (len(rows), True)]:
            reader = AuditReader.open(write_audit(config, rows[done : done + step]))
            done += step
            view = book_of(ledger, reader) if whole else ledger.turn(reader)
            if whole:
                assert view == book_of(Ledger(config), reader)
            reader.close()


def test_what_is_written_while_a_turn_reads_is_told_by_the_next_and_once(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = traded(config)
    half = len(rows) // 2
    reader = Overtaken.open(write_audit(config, rows[:half]))
    assert isinstance(reader, Overtaken)
    reader.overtake = lambda: write_audit(config, rows[half:])
    ledger = Ledger(config)
    view = ledger.turn(reader)
    assert (view.seq, view.head) == (half, half)
    assert book_of(ledger, reader) == book_of(Ledger(config), reader)
    reader.close()


def test_a_few_new_rows_are_read_once_for_all_keys(tmp_path: Path) -> None:
    config = configured(tmp_path)
    rows = interleaved(traded(config))
    database = Noting.open(write_audit(config, rows[:-4]))
    assert isinstance(database, Noting)
    database.asked = []
    reader, ledger = AuditReader(database), Ledger(config)
    book_of(ledger, reader)
    write_audit(config, rows[-4:])
    database.asked.clear()
    assert len({row.key for row in rows[-4:]}) > 1
    assert ledger.turn(reader).seq == len(rows)
    assert len(database.asked) == 2, "the head, and the rows"
    reader.close()


def test_many_keys_are_looked_at_a_few_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BOOK_KEYS", 1)
    config = configured(tmp_path)
    reader = AuditReader.open(write_audit(config, traded(config)))
    ledger = Ledger(config)
    assert ledger.turn(reader).keys == 1
    assert ledger.behind
    assert book_of(ledger, reader).keys == len(KEYS)
    reader.close()


def test_rows_decided_under_another_configuration_are_said_to_be(tmp_path: Path) -> None:
    config = configured(tmp_path)
    reader = AuditReader.open(write_audit(config, traded(config, code="2-other")))
    view = book_of(Ledger(config), reader)
    assert "decides as 2-other" in view.fault
    assert view.throttles == ()
    assert view.lines, "fills stand in the rows, whoever decided them"
    reader.close()


def test_a_strategy_of_a_user_s_is_neither_loaded_nor_run(tmp_path: Path) -> None:
    config = load(
        assignments=[
            f"data_dir={tmp_path}/data",
            f'trading.strategies={{"mine": {{"kind": "custom", "source": "{tmp_path}/none.py:Mine"}}}}',
        ]
    )
    Ledger(config)
