"""The emergency commands against a pipeline of real processes."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_pipeline import Client, Running, make_config, wait_for

from pipeline.cli.app import run
from pipeline.config import Config
from pipeline.storage.audit.engines import open_reader

Output = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_config(
        tmp_path, exec={"fill_policy": "signal_price"}, trading={"strategies": {}, "throttles": []}
    )


@pytest.fixture
def words(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The options by which a command finds this pipeline."""
    monkeypatch.delenv("RINGLINE_CONFIG", raising=False)
    file = tmp_path / "ringline.json"
    file.write_bytes(msgspec.json.encode(config))
    return ["--config", str(file)]


def signal(config: Config, name: str, symbol: str, side: str = "buy") -> str:
    client = Client(config)
    posted = {"type": "signal", "symbol": symbol, "side": side, "quantity": "2", "price": "10"}
    event_id = str(client.post_until_taken(name, posted)["event_id"])
    client.close()
    with contextlib.closing(open_reader(config)) as audit:
        wait_for(lambda: bool(audit.by_event_id(bytes.fromhex(event_id))), "its row")
    return event_id


def told(capfd: Output, *arguments: str, code: int = 0) -> Any:
    capfd.readouterr()
    assert run([*arguments]) == code
    return json.loads(capfd.readouterr().out)


def test_a_halt_refuses_entries_a_flatten_closes_all_and_a_resume_lets_in_again(
    config: Config, words: list[str], capfd: Output
) -> None:
    with Running(config):
        for symbol in ("A", "B"):
            signal(config, f"open-{symbol}", symbol)

        halted = told(capfd, "halt", "--reason", "fat finger", "--json", *words)
        assert (halted["status"], halted["audited"], halted["keys"]) == (202, True, 2)
        refused = signal(config, "late", "A")
        later = signal(config, "unknown-so-far", "C")

        flat = told(capfd, "flatten", "--json", *words)
        assert (flat["keys"], flat["exits"], flat["fills"], flat["resting"]) == (3, 2, 2, 0)
        for event_id in (refused, later):
            stories = told(capfd, "explain", event_id, "--json", *words)
            assert stories[0]["legs"][0]["reasons"] == ["RISK_HALTED: by=halt"]
        rows = told(capfd, "explain", flat["answer"]["event_id"], "--json", *words)
        assert {row["key"]: [fill["position"] for fill in row["fills"]] for row in rows} == {
            "A": ["0"], "B": ["0"], "C": [],
        }  # fmt: skip

        assert run(["resume", *words]) == 0
        assert "3 keys resumed by event" in capfd.readouterr().out
        assert run(["flatten", *words]) == 0
        assert "0 exits ordered" in capfd.readouterr().out


def test_a_halt_is_repeated_until_the_gateway_is_there_and_happens_once(
    config: Config, words: list[str], capfd: Output
) -> None:
    codes: list[int] = []
    caller = threading.Thread(target=lambda: codes.append(run(["halt", "--id", "stop-1", *words])))
    caller.start()
    with Running(config):
        caller.join(60)
        assert codes == [0]
        assert "not accepted yet, trying again" in capfd.readouterr().err
        again = told(capfd, "halt", "--id", "stop-1", "--json", *words)
        assert again["status"] == 202
        first = signal(config, "first", "A")
        assert told(capfd, "explain", first, "--json", *words)[0]["outcome"] == "rejected"


def test_without_a_gateway_it_says_so_and_that_nothing_happened(words: list[str], capfd: Output) -> None:
    assert run(["halt", "--timeout", "0.6", *words]) == 3
    said = capfd.readouterr().err
    assert "not accepted within 0.6 s: POST http://127.0.0.1:" in said
    assert "no answer" in said
