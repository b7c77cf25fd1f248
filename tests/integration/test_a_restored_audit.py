"""An audit is replaced by a backup of it: the keys that lack rows stop with an alarm, until reconcile has
sent again what is missing. Real processes, real commands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from real_pipeline import Client, Running, candle, make_config, wait_for
from servers import running_postgres

from pipeline.config import Config
from pipeline.storage.audit.backup import back_up
from pipeline.storage.audit.engines import open_reader, sqlite_file

SYMBOLS = ("AAPL", "MSFT", "QUIET")


def price(symbol: str, day: int) -> str:
    return f"{100 + (day * 7 + 13 * len(symbol)) % 37}.00"


def post(config: Config, symbol: str, days: range) -> None:
    with contextlib.closing(Client(config)) as client:
        for day in days:
            client.post_until_taken(f"{symbol}-{day}", candle(symbol, day, price(symbol, day)))


def audited(config: Config) -> int:
    with contextlib.closing(open_reader(config)) as reader:
        return reader.head().seq


def lasts(config: Config) -> dict[str, int]:
    with contextlib.closing(open_reader(config)) as reader:
        found: dict[str, int] = {}
        for delivery in reader.deliveries():
            found[delivery.key] = delivery.key_seq
        return found


def ringline(config: Config, *words: str) -> tuple[int, dict[str, Any], str]:
    file = Path(config.data_dir).parent / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words, "--json", "--config", str(file)],
        capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": "."},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def restore(config: Config, backup: Path) -> None:
    """As an operator does while nothing runs."""
    file = sqlite_file(config)
    for old in (file, Path(f"{file}-wal"), Path(f"{file}-shm")):
        old.unlink(missing_ok=True)
    shutil.copy(backup, file)


def run_back_up_run_on(config: Config, folder: Path) -> tuple[Path, str]:
    """30 days of each symbol, a backup after 10 (20 of QUIET, which then rests); backup and run digest."""
    backup = folder / "backup.sqlite"
    with Running(config):
        for symbol in SYMBOLS:
            post(config, symbol, range(10))
        wait_for(lambda: audited(config) == 30, "the first rows")
        back_up(config, backup)
        for symbol in SYMBOLS:
            post(config, symbol, range(10, 20))
        for symbol in SYMBOLS[:2]:
            post(config, symbol, range(20, 30))
        wait_for(lambda: audited(config) == 80, "all rows")
    with contextlib.closing(open_reader(config)) as reader:
        return backup, reader.run_digest()


def test_what_a_restored_audit_lacks_is_found_stopped_and_sent_again(tmp_path: Path) -> None:
    config = make_config(tmp_path, audit={"checkpoint_every_s": 1})
    backup, digest = run_back_up_run_on(config, tmp_path)
    restore(config, backup)
    with Running(config) as running:
        wait_for(lambda: sum("is stopped" in line for line in running.lines) == 3, "the alarm of each key")
        code, status, _ = ringline(config, "status")
        assert code == 3
        assert status["stopped"]["AAPL"] == "key AAPL: the audit lacks its events 11 to 30"
        assert status["stopped_keys"] == 3
        with contextlib.closing(Client(config)) as client:
            refused, answer, headers = client.post("AAPL-30", candle("AAPL", 30, price("AAPL", 30)))
            assert (refused, answer["field"]) == (503, "symbol")
            assert headers["retry-after"]
            assert client.post("NEW-1", candle("NEW", 1))[0] == 202, "other keys go on"
        wait_for(lambda: audited(config) == 31, "the other key's row")
        code, found, errors = ringline(config, "audit", "reconcile")
        assert (code, found["ok"]) == (0, True), (found, errors)
        assert {key: one["resent"] for key, one in found["answer"]["keys"].items()} == {
            "AAPL": 20, "MSFT": 20, "QUIET": 10,
        }  # fmt: skip
        assert lasts(config) == {"AAPL": 30, "MSFT": 30, "QUIET": 20, "NEW": 1}
        assert ringline(config, "status")[0] == 0
        post(config, "AAPL", range(30, 31))
        wait_for(lambda: lasts(config)["AAPL"] == 31, "the stopped key to go on")
    assert ringline(config, "audit", "verify")[1]["ok"]
    code, fresh, _ = ringline(config, "audit", "verify", "--checkpoint", "latest")
    assert (code, fresh["ok"]) == (0, True), "checkpoints are signed again, of the chain as it is"
    assert digest != fresh["digest"], "two events more were accepted since"


def test_a_reconciled_run_has_the_digest_of_the_one_before(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    backup, digest = run_back_up_run_on(config, tmp_path)
    restore(config, backup)
    with Running(config):
        assert ringline(config, "audit", "reconcile")[1]["ok"]
    code, found, _ = ringline(config, "audit", "verify")
    assert (code, found["rows"], found["digest"]) == (0, 80, digest)


def test_a_restore_beside_the_running_gateway_is_noticed_too(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    backup = tmp_path / "backup.sqlite"
    with Running(config) as running:
        post(config, "AAPL", range(5))
        wait_for(lambda: audited(config) == 5, "the first rows")
        back_up(config, backup)
        post(config, "AAPL", range(5, 12))
        wait_for(lambda: audited(config) == 12, "all rows")
        restore(config, backup)
        running.kill("audit-0")
        wait_for(lambda: any("AAPL is stopped" in line for line in running.lines), "the alarm")
        code, found, errors = ringline(config, "audit", "reconcile")
        assert (code, found["ok"]) == (0, True), (found, errors, running.lines)
        wait_for(lambda: lasts(config) == {"AAPL": 12}, "all rows again")


def test_an_audit_in_postgresql_restored_by_its_own_tools_gets_back_what_it_lacks(tmp_path: Path) -> None:
    with running_postgres() as server:
        (tmp_path / "dsn").write_text(server.dsn)
        config = make_config(tmp_path, audit={"engine": "postgres", "dsn_file": str(tmp_path / "dsn")})
        with Running(config):
            for symbol in SYMBOLS:
                post(config, symbol, range(10))
            wait_for(lambda: audited(config) == 30, "the first rows")
            backup = server.dump("ringline")
            for symbol in SYMBOLS[:2]:
                post(config, symbol, range(10, 25))
            wait_for(lambda: audited(config) == 60, "all rows")
        with contextlib.closing(open_reader(config)) as reader:
            digest = reader.run_digest()
        server.restore(backup, "ringline")
        assert audited(config) == 30
        with Running(config) as running:
            wait_for(lambda: sum("is stopped" in line for line in running.lines) == 2, "the alarms")
            assert ringline(config, "status")[1]["stopped_keys"] == 2
            code, found, errors = ringline(config, "audit", "reconcile")
            assert (code, found["ok"]) == (0, True), (found, errors)
            resent = {key: one["resent"] for key, one in found["answer"]["keys"].items()}
            assert resent == {"AAPL": 15, "MSFT": 15}
            assert ringline(config, "status")[0] == 0
        code, found, _ = ringline(config, "audit", "verify")
        assert (code, found["rows"], found["digest"]) == (0, 60, digest)


def test_what_is_kept_no_more_is_named_and_its_key_stays_stopped(tmp_path: Path) -> None:
    """The journal keeps settled events for as long as told: here not at all, and its segments are small."""
    small = {"keep_settled_s": 0, "retention_s": 3, "segment_bytes": 65_536, "max_bytes": 1_048_576}
    secret = {"demo": {"secret_files": [str(tmp_path / "demo.whsec")], "tolerance_s": 1}}
    config = make_config(tmp_path, journal=small, sources=secret)
    backup = tmp_path / "backup.sqlite"
    with Running(config):
        post(config, "AAPL", range(5))
        wait_for(lambda: audited(config) == 5, "the first rows")
        back_up(config, backup)
        post(config, "AAPL", range(5, 9))
        folder = Path(config.data_dir) / "journal"
        first = min(folder.glob("*.seg"))
        day = 9
        while first.exists():
            post(config, "FILL", range(day, day + 40))
            day += 40
        wait_for(lambda: lasts(config).get("AAPL") == 9, "all rows")
    restore(config, backup)
    with Running(config):
        code, found, _ = ringline(config, "audit", "reconcile")
        assert code == 1
        assert found["answer"]["keys"]["AAPL"]["gone"] == [[6, 9]]
        assert ringline(config, "status")[1]["stopped"]["AAPL"]


def test_reconcile_needs_a_running_pipeline(tmp_path: Path) -> None:
    code, _, errors = ringline(make_config(tmp_path), "audit", "reconcile")
    assert code == 3
    assert "not running" in errors
