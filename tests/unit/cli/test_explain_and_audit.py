"""What people and programs read about rows: on a real audit file, made by the real trading core."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from traded import Desk, candle, halt, write_audit

from pipeline.checks import ADDRESS, DERIVED, PATH, Checks, encode_checks
from pipeline.cli.app import run
from pipeline.cli.explain import SHOWN_ARCHIVES, lines
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
    return traded(tmp_path)


@pytest.fixture
def prunable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same with states in every row, so that a prune need not keep rows for rebuilding."""
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)
    return traded(tmp_path, "audit.state_every=1")


def traded(tmp_path: Path, *more: str) -> list[str]:
    chosen = [
        *more,
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


def test_what_no_version_recorded_is_not_made_up(capfd: Output, words: list[str]) -> None:
    text = told(capfd, "explain", "buy-1", *words)
    assert "  checked   not recorded\n" in text
    assert "  time      accepted   2023-11-14T22:13:22.000000Z +0.000 ms\n" in text
    for step in ("synced", "dispatched", "decided", "executed", "audited"):
        assert f"  time      {step:10} not recorded\n" in text
    (found,) = story(capfd, words, "buy-1")
    assert found["checks"] is None
    steps = ("synced", "dispatched", "decided", "executed", "audited")
    assert found["way"] == {f"{step}_us": None for step in steps}


def test_checks_and_times_are_told_in_their_order() -> None:
    checks = encode_checks(Checks("tradingview", "token.txt", DERIVED, 214, 3, ADDRESS | PATH))
    delivery = Delivery("AAPL", 1, b"e" * 16, "demo", "one", 5_000, 0, b"", outcome="held", checks=checks)
    delivery.synced_us, delivery.dispatched_us, delivery.decided_us = 6_500, 6_501, 8_000
    delivery.executed_us, delivery.audited_us = 7_000, 1_005_000
    found = story_of(AuditRow(1, b"h" * 32, delivery), Instruments(Config().trading))
    text = list(lines(found))
    place = text.index("  checked   as tradingview, by secret token.txt, no time signed")
    came, passed = text[place + 1 : place + 3]
    assert came.startswith(
        "            came as event 3 of a batch in a body of 214 bytes; webhook-id derived, "
    )
    assert passed == "            passed address, path token"
    assert [line.split()[1:2] + line.split()[-2:-1] for line in text if line.startswith("  time ")] == [
        ["accepted", "+0.000"], ["synced", "+1.500"], ["dispatched", "+1.501"], ["decided", "+3.000"],
        ["executed", "+2.000"], ["audited", "+1000.000"],
    ]  # fmt: skip


def test_a_signed_time_is_told_with_its_age() -> None:
    checks = encode_checks(Checks("standard", "new", "webhook-id", 9, age_ms=-250))
    delivery = Delivery("AAPL", 1, b"e" * 16, "demo", "one", 5_000, 0, b"", outcome="held", checks=checks)
    text = list(lines(story_of(AuditRow(1, b"h" * 32, delivery), Instruments(Config().trading))))
    assert "  checked   as standard, by secret new, signed 250 ms ahead of its acceptance" in text
    assert "            came alone in a body of 9 bytes; webhook-id from webhook-id" in text
    assert not any("passed" in line for line in text)


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


def test_an_event_that_was_pruned_is_said_to_be_archived_and_told_from_there(
    capfd: Output, prunable: list[str], tmp_path: Path
) -> None:
    (before,) = story(capfd, prunable, "buy-1")
    prune = ["audit", "prune", "--before", "2023-11-14T22:13:24Z"]
    told(capfd, *prune, "--archive", f"{tmp_path}/first", *prunable)
    told(capfd, *prune[:-1], "2023-11-14T22:13:25Z", "--archive", f"{tmp_path}/second", *prunable)
    assert run(["explain", "buy-1", *prunable]) == 1
    said = capfd.readouterr().err
    assert "rows up to 4 were pruned, and --archive FILE tells of those: " in said
    assert f"row 4 is archived in {tmp_path}/second, rows 1 to 3 are archived in {tmp_path}/first" in said
    for identity in ("buy-1", before["event_id"]):
        (found,) = story(capfd, [*prunable, "--archive", f"{tmp_path}/first"], identity)
        assert found == before
    assert run(["explain", "buy-1", "--archive", f"{tmp_path}/second", *prunable]) == 1
    assert capfd.readouterr().err == (f"ringline: buy-1: no such event is in the archive {tmp_path}/second\n")
    assert "Pruned      rows up to 4" in told(capfd, "audit", "verify", *prunable)
    assert told(capfd, "audit", "verify", "--archive", f"{tmp_path}/second", *prunable).startswith(
        "All 1 rows"
    )


def test_more_archives_than_people_read_are_counted(
    capfd: Output, prunable: list[str], tmp_path: Path
) -> None:
    for second in range(22, 27):
        until = f"2023-11-14T22:13:{second}Z"
        told(capfd, "audit", "prune", "--before", until, "--archive", f"{tmp_path}/{second}", *prunable)
    assert run(["explain", "buy-1", *prunable]) == 1
    said = capfd.readouterr().err
    assert said.count("archived in") == SHOWN_ARCHIVES
    assert "more archives before" in said


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (None, 3, "No such file"),
        (b"a line of something else\n", 2, "line 1 is no row of an audit"),
    ],
)
def test_what_is_no_archive_is_said_to_be_none(
    capfd: Output, words: list[str], tmp_path: Path, content: bytes | None, code: int, said: str
) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    assert run(["explain", "buy-1", "--archive", f"{tmp_path}/file", *words]) == code
    assert said in capfd.readouterr().err
    both = ["explain", "x", "--archive", "file", "--url", "http://127.0.0.1:1", *words]
    assert run(both) == 2
    assert "--archive is a file of this machine" in capfd.readouterr().err


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
