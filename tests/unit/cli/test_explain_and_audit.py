"""What people and programs read about rows: on a real audit file, made by the real trading core."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from traded import Desk, candle, halt, write_audit

from pipeline.cli.app import run
from pipeline.cli.explain import lines
from pipeline.config import Config, load
from pipeline.delivery import Delivery
from pipeline.messages import Fate, SignalIn
from pipeline.stages.story import story_of, utc
from pipeline.storage.audit import AuditReader, AuditRow, verify_rows
from pipeline.storage.audit.archive import parse_row
from pipeline.storage.audit.checkpoints import CheckpointWriter, load_signing_key
from pipeline.trading.instruments import Instruments

Output = pytest.CaptureFixture[str]


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options that choose the configuration under which the audit was traded."""
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)
    chosen = [
        f"data_dir={tmp_path}/data",
        "trading.strategies={}",
        'trading.throttles=[{"name": "one", "max_trades": 1, "window_seconds": 3600}]',
    ]
    config = load(assignments=chosen)
    apple, bank = Desk(config, "AAPL"), Desk(config, "JPM")
    buy = SignalIn(symbol="AAPL", side="buy", quantity="2.5")
    rows = [
        apple.handle(candle(1, "10.25"), "bar-1"),
        apple.handle(buy, "buy-1"),
        apple.handle(candle(2, "10.50"), "bar-2"),
        apple.handle(buy, "buy-2"),
        apple.handle(candle(1), "late"),
        apple.handle(halt("fat finger"), "stop"),
        bank.handle(halt("fat finger"), "stop"),
        bank.handle(SignalIn(symbol="JPM", side="sell", price="40"), "old", Fate.EXPIRED),
    ]
    write_audit(config, rows)
    return [word for text in chosen for word in ("--set", text)]


def told(capfd: Output, *arguments: str, code: int = 0) -> str:
    assert run(arguments) == code
    return capfd.readouterr().out


def story(capfd: Output, words: list[str], identity: str) -> Any:
    return json.loads(told(capfd, "explain", identity, "--json", *words))


# ---- explain --------------------------------------------------------------------------------------------


def test_an_order_is_told_from_webhook_to_row(capfd: Output, words: list[str]) -> None:
    text = told(capfd, "explain", "buy-1", *words)
    assert ": placed\n" in text
    assert "  accepted  2023-11-14T22:13:22.000000Z from demo, webhook-id buy-1\n" in text
    assert "  event     signal strategy signal side buy quantity 2.5\n" in text
    assert "  turn      number 2 of AAPL\n" in text
    assert "  decision  signal ordered: entry buy 2.5 at 10.25\n" in text
    assert "  resting   1 order waits to be filled\n" in text
    assert "  row       2 of the audit, hash " in text


def test_a_fill_names_the_order_it_belongs_to(capfd: Output, words: list[str]) -> None:
    text = told(capfd, "explain", "bar-2", *words)
    assert ": filled\n" in text
    assert (
        "  event     candle time 2001-01-02T21:00:00.000000Z open 10.5 high 10.5 low 10.5 close 10.5" in text
    )
    assert "  fill      signal buy 2.5 at 10.5 (next_open) for the order of event number 2, leg 0;" in text
    assert "position 2.5\n" in text


def test_a_denial_says_why_and_until_when(capfd: Output, words: list[str]) -> None:
    text = told(capfd, "explain", "buy-2", *words)
    assert "  decision  signal denied: entry buy 2.5 at 10.5\n" in text
    assert "            because THROTTLE_WINDOW: " in text
    assert "            until 2023-11-14T23:13:22.000000Z\n" in text


def test_a_refused_event_says_why(capfd: Output, words: list[str]) -> None:
    assert "  refused   CANDLE_STALE: " in told(capfd, "explain", "late", *words)


def test_a_control_event_has_a_story_for_every_key(capfd: Output, words: list[str]) -> None:
    stories = story(capfd, words, "stop")
    assert [found["key"] for found in stories] == ["AAPL", "JPM"]
    assert stories[0]["event"] == {"type": "control", "action": "halt", "reason": "fat finger"}


def test_a_tombstone_is_told_as_one(capfd: Output, words: list[str]) -> None:
    text = told(capfd, "explain", "old", *words)
    assert ": expired\n" in text
    assert "  fate      expired: every stage passed it on untouched\n" in text
    assert "  event     signal strategy signal side sell price 40\n" in text


def test_an_event_is_found_by_its_event_id_too(capfd: Output, words: list[str]) -> None:
    (by_webhook,) = story(capfd, words, "buy-1")
    (by_event,) = story(capfd, words, by_webhook["event_id"])
    assert by_event == by_webhook
    assert by_event["legs"][0]["quantity"] == "2.5"


@pytest.mark.parametrize("identity", ["nothing", "0" * 32, "z" * 32])
def test_an_event_that_is_not_audited_is_the_answer_no(
    capfd: Output, words: list[str], identity: str
) -> None:
    assert run(["explain", identity, *words]) == 1
    assert capfd.readouterr().err.startswith(f"ringline: {identity}: no such event is audited")


def test_without_an_audit_something_is_missing(capfd: Output, tmp_path: Path) -> None:
    for command in (["explain", "x"], ["audit", "verify"], ["audit", "query"]):
        assert run([*command, "--set", f"data_dir={tmp_path}/none"]) == 3
        assert capfd.readouterr().err == f"ringline: audit {tmp_path}/none/audit.sqlite: there is none\n"


# ---- audit verify ---------------------------------------------------------------------------------------


def test_an_audit_that_verifies_gives_its_hash_and_digest(capfd: Output, words: list[str]) -> None:
    text = told(capfd, "audit", "verify", *words)
    assert text.startswith("All 8 rows are as they were written.\nChain hash  ")
    assert "filled 1, placed 1, rejected 2, held 3, expired 1, dead_lettered 0" in text
    found = json.loads(told(capfd, "audit", "verify", "--json", *words))
    assert (found["ok"], found["rows"], len(found["digest"])) == (True, 8, 64)
    assert found["digest"] in text
    assert found["chain_hash"] in text


def test_a_single_row_is_told_of_as_one(capfd: Output, tmp_path: Path) -> None:
    config = load(assignments=[f"data_dir={tmp_path}/one"])
    write_audit(config, [Desk(config, "AAPL").handle(candle(1), "bar-1")])
    text = told(capfd, "audit", "verify", "--set", f"data_dir={tmp_path}/one")
    assert text.startswith("The only row is as it was written.\nChain hash  ")


def test_a_changed_byte_is_found_and_its_row_named(capfd: Output, words: list[str]) -> None:
    file = Path(words[1].removeprefix("data_dir=")) / "audit.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE rows SET body = CAST(replace(body, 'demo', 'dem0') AS BLOB) WHERE seq = 4")
    connection.close()
    assert run(["audit", "verify", *words]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("The audit does not verify: row 4")
    found = json.loads(told(capfd, "audit", "verify", "--json", *words, code=1))
    assert (found["ok"], found["rows"], found["first_bad"]) == (False, 3, 4)


def test_a_checkpoint_shows_that_rows_were_cut_off(capfd: Output, words: list[str], tmp_path: Path) -> None:
    file = Path(words[1].removeprefix("data_dir=")) / "audit.sqlite"
    config = load(assignments=words[1::2])
    assert run(["audit", "verify", "--checkpoint", "latest", *words]) == 3
    assert "audit.vkey: No such file" in capfd.readouterr().err
    key = load_signing_key(config)
    assert run(["audit", "verify", "--checkpoint", "latest", *words]) == 3
    assert "there are none yet" in capfd.readouterr().err
    with contextlib.closing(AuditReader.open(file)) as reader:
        CheckpointWriter(config, key, reader.head).write()
    assert "row 8 is the one that was signed" in told(
        capfd, "audit", "verify", "--checkpoint", "latest", *words
    )
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM rows WHERE seq = 8")
    connection.close()
    assert run(["audit", "verify", *words]) == 0
    assert run(["audit", "verify", "--checkpoint", "latest", *words]) == 1
    assert "row 8 is missing: the checkpoint has 8 rows" in capfd.readouterr().err
    (tmp_path / "none").write_text("no checkpoint")
    assert run(["audit", "verify", "--checkpoint", str(tmp_path / "none"), *words]) == 2


def test_rows_are_exported_backed_up_and_pruned(capfd: Output, words: list[str], tmp_path: Path) -> None:
    lines = told(capfd, "audit", "export", *words).encode().splitlines()
    assert verify_rows(map(parse_row, lines)).rows == 8
    assert told(capfd, "audit", "backup", f"{tmp_path}/copy", *words) == f"8 rows in {tmp_path}/copy\n"
    prune = ["audit", "prune", "--before", "2023-11-14T22:13:24Z", "--archive", f"{tmp_path}/archive", *words]
    assert told(capfd, *prune).startswith("3 rows archived in ")
    assert "Pruned      rows up to 3" in told(capfd, "audit", "verify", *words)
    archive = ["audit", "verify", "--archive", f"{tmp_path}/archive", *words]
    assert told(capfd, *archive).startswith("All 3 rows of the archive")
    assert json.loads(told(capfd, *archive, "--json"))["ok"]
    assert "nothing was done" in told(capfd, *prune)


# ---- audit query ----------------------------------------------------------------------------------------


def test_rows_are_a_table_with_the_gist_of_each(capfd: Output, words: list[str]) -> None:
    table = told(capfd, "audit", "query", *words).splitlines()
    assert table[0].split()[:3] == ["row", "accepted", "key"]
    assert len(table) == 9
    assert "buy 2.5 ordered" in table[2]
    assert "buy 2.5 at 10.5" in table[3]
    assert "THROTTLE_WINDOW" in table[4]
    assert "CANDLE_STALE" in table[5]


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (["--key", "JPM"], [7, 8]),
        (["--outcome", "rejected"], [4, 5]),
        (["--since", "2023-11-14T22:13:25Z"], [5, 6]),
        (["--limit", "2", "--newest"], [8, 7]),
        (["--after", "6"], [7, 8]),
        (["--key", "NONE"], []),
    ],
)
def test_rows_are_chosen(capfd: Output, words: list[str], options: list[str], rows: list[int]) -> None:
    lines = told(capfd, "audit", "query", "--json", *options, *words).splitlines()
    found = [json.loads(line)["seq"] for line in lines]
    assert [row for row in found if row <= 6 or "--since" not in options] == rows


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "ringline: --since: 'yesterday' is not an RFC 3339 time"),
        (["--outcome", "won"], "ringline: invalid value for '--outcome'"),
        (["--limit", "0"], "ringline: invalid value for '--limit'"),
    ],
)
def test_a_wrong_choice_is_wrong_usage(
    capfd: Output, words: list[str], options: list[str], said: str
) -> None:
    assert run(["audit", "query", *options, *words]) == 2
    assert capfd.readouterr().err.startswith(said)


def test_times_are_utc_to_the_microsecond() -> None:
    assert utc(1_700_000_000_000_001) == "2023-11-14T22:13:20.000001Z"
    assert utc(0) == ""


def test_the_senders_trace_is_part_of_the_story() -> None:
    instruments = Instruments(Config().trading)
    delivery = Delivery(
        "AAPL", 1, b"e" * 16, "demo", "one", 5, 0, b"", outcome="held", traceparent="00-ab-cd-01"
    )
    found = story_of(AuditRow(1, b"h" * 32, delivery), instruments)
    assert found.traceparent == "00-ab-cd-01"
    assert "  trace     00-ab-cd-01" in list(lines(found))
    delivery.traceparent = ""
    assert not any("trace" in line for line in lines(story_of(AuditRow(1, b"h" * 32, delivery), instruments)))
