"""The feed of a real pipeline: every settled row once and in order, whatever happens to the feed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from real_pipeline import Client, Running, candle, make_config, wait_for
from servers import running_postgres
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pipeline.config import Config
from pipeline.storage.audit.engines import open_reader, sqlite_file

ROWS = 60


def post(config: Config, days: range, symbols: tuple[str, ...] = ("AAPL", "MSFT")) -> None:
    with contextlib.closing(Client(config)) as client:
        for day in days:
            for symbol in symbols:
                client.post_until_taken(f"{symbol}-{day}", candle(symbol, day, f"{100 + day * 7 % 37}.00"))


def head(config: Config) -> int:
    with contextlib.closing(open_reader(config)) as reader:
        return reader.head().seq


def follow(config: Config, query: str = "") -> ClientConnection:
    return connect(f"ws://127.0.0.1:{config.feed.port}/v1/feed{query}", compression=None, proxy=None)


def messages(connection: ClientConnection, until: int, timeout_s: float = 20) -> list[dict[str, Any]]:
    """Up to the row with number `until`."""
    found: list[dict[str, Any]] = []
    while not found or found[-1].get("seq") != until:
        found.append(json.loads(connection.recv(timeout_s)))
    return found


def until_closed(connection: ClientConnection, found: list[dict[str, Any]] | None = None) -> None:
    while True:
        message = json.loads(connection.recv(10))
        if found is not None:
            found.append(message)


def seqs(found: list[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in found if message["type"] == "row"]


def get(config: Config, path: str, **headers: str) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"http://127.0.0.1:{config.feed.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def ringline(config: Config, *words: str) -> tuple[int, dict[str, Any], str]:
    file = Path(config.data_dir).parent / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words, "--json", "--config", str(file)],
        capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = make_config(tmp_path_factory.mktemp("feed"), feed={"max_clients": 3, "heartbeat_ms": 200})
    with Running(config) as found:
        post(config, range(ROWS // 2))
        wait_for(lambda: head(config) >= ROWS, "the first rows")
        yield found


def test_a_client_catches_up_and_goes_on_live_with_no_row_missing_or_twice(running: Running) -> None:
    config = running.config
    before = head(config)
    posting = threading.Thread(target=post, args=(config, range(1000, 1060)))
    with follow(config, "?from=1") as connection:
        posting.start()
        found = messages(connection, before + 120)
        posting.join()
    hello, rows = found[0], [message for message in found if message["type"] == "row"]
    assert (hello["type"], hello["start"], hello["wanted"]) == ("hello", 1, {"keys": [], "outcomes": []})
    assert seqs(found) == list(range(1, before + 121))
    assert all(message["sent_us"] > 0 for message in found)
    assert [row["row"]["chain_hash"] for row in rows] == [row["hash"] for row in rows]


def test_without_a_number_it_begins_with_what_settles_next(running: Running) -> None:
    config = running.config
    with follow(config) as connection:
        hello = json.loads(connection.recv(10))
        post(config, range(2000, 2002))
        found = messages(connection, hello["head"] + 4)
    assert hello["start"] == hello["head"] + 1
    assert seqs(found) == list(range(hello["start"], hello["start"] + 4))


def test_a_filter_lets_through_what_it_names_and_heartbeats_say_where_to_resume(running: Running) -> None:
    config = running.config
    end = head(config)
    with follow(config, "?from=1&key=MSFT&heartbeat_ms=100") as connection:
        found: list[dict[str, Any]] = []
        while not found or found[-1]["type"] != "heartbeat":
            found.append(json.loads(connection.recv(10)))
    rows = [message["row"] for message in found if message["type"] == "row"]
    assert {row["key"] for row in rows} == {"MSFT"}
    assert [row["key_seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert (found[-1]["next"], found[-1]["head"]) == (end + 1, end)


def test_a_session_ends_with_a_manifest_that_the_audit_proves(running: Running, tmp_path: Path) -> None:
    config = running.config
    with follow(config, "?from=11&key=AAPL") as connection:
        found = messages(connection, 21)
        connection.send('{"type":"bye"}')
        with contextlib.suppress(ConnectionClosed):
            until_closed(connection, found)
    manifest = found[-1]["manifest"]
    rows = [message for message in found if message["type"] == "row"]
    digest = hashlib.sha256(
        b"".join(row["seq"].to_bytes(8, "big") + bytes.fromhex(row["hash"]) for row in rows)
    )
    assert (manifest["rows"], manifest["sha256"]) == (len(rows), digest.hexdigest())
    wait_for(lambda: get(config, f"/v1/feed/manifests/{manifest['session']}")[0] == 200, "the manifest")
    assert get(config, f"/v1/feed/manifests/{manifest['session']}")[1] == manifest
    assert manifest["session"] in get(config, "/v1/feed/sessions")[1]["past"]
    code, proved, _ = ringline(config, "feed", "replay", "--manifest", manifest["session"])
    assert (code, proved["rows"], proved["sha256"]) == (0, len(rows), digest.hexdigest())
    for name, value in (("rows", len(rows) + 1), ("sha256", "0" * 64), ("last_seq", 99)):
        file = tmp_path / "forged.json"
        file.write_text(json.dumps({**manifest, name: value}))
        code, refuted, errors = ringline(config, "feed", "replay", "--manifest", str(file))
        assert (code, refuted["ok"]) == (1, False), errors
        assert name in refuted["detail"]


def test_where_nothing_can_follow_the_handshake_says_why(running: Running) -> None:
    config = running.config
    end = head(config)
    for query, status, said in (
        (f"?from={end + 2}", 409, f"the audit ends with row {end}"),
        ("?from=2&after_hash=" + "0" * 64, 409, "the audit is another one by now"),
        ("?from=0", 400, "from = '0'"),
        ("?colour=red", 400, "unknown"),
    ):
        with pytest.raises(InvalidStatus) as caught, follow(config, query):
            pass
        response = caught.value.response
        assert response.status_code == status
        assert response.headers["content-type"] == "application/problem+json"
        assert said in json.loads(response.body or b"{}")["detail"]
    link = get(config, "/v1/rows?limit=1")[1]["rows"][0]["chain_hash"]
    with follow(config, f"?from=2&after_hash={link}") as connection:
        assert seqs(messages(connection, 2)) == [2]


def test_clients_are_limited_and_pages_of_strangers_are_refused(running: Running) -> None:
    config = running.config
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(follow(config))
        with pytest.raises(InvalidStatus) as caught, follow(config):
            pass
        assert caught.value.response.status_code == 503
        assert caught.value.response.headers["retry-after"]
    url = f"ws://127.0.0.1:{config.feed.port}/v1/feed"
    wait_for(lambda: get(config, "/healthz")[1]["clients"] == 0, "all to have left")
    with (
        pytest.raises(InvalidStatus) as caught,
        connect(url, additional_headers={"origin": "https://evil.example"}),
    ):
        pass
    assert caught.value.response.status_code == 403


def test_a_client_that_talks_nonsense_is_told_so(running: Running) -> None:
    with follow(running.config) as connection:
        connection.send("what?")
        with pytest.raises(ConnectionClosed) as caught:
            until_closed(connection)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 4400


def test_queries_page_through_and_explain(running: Running) -> None:
    config = running.config
    found: list[int] = []
    path = "/v1/rows?key=AAPL&order=desc&limit=7"
    following = ""
    while following is not None:
        status, page = get(config, path + (f"&cursor={following}" if following else ""))
        assert status == 200
        found += [row["key_seq"] for row in page["rows"]]
        following = page["next"]
    assert found == list(range(found[0], 0, -1))
    row = get(config, "/v1/rows?limit=1&after=4")[1]["rows"][0]
    assert row["seq"] == 5
    assert get(config, f"/v1/events/{row['event_id']}")[1]["rows"] == [row]
    assert get(config, f"/v1/rows?webhook_id={row['webhook_id']}")[1]["rows"] == [row]
    outcomes = get(config, "/v1/outcomes")[1]
    assert sum(outcomes["outcomes"].values()) == outcomes["head"]


def told(config: Config, *words: str) -> tuple[int, str, str]:
    """A command's exit code, its output as it is, and its errors."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words], capture_output=True, text=True, timeout=60,
        cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_rows_and_stories_are_the_same_by_url_from_a_place_without_the_audit(
    running: Running, tmp_path: Path
) -> None:
    config = running.config
    file = Path(config.data_dir).parent / "config.json"
    file.write_bytes(msgspec.json.encode(config))
    here = ("--config", str(file))
    there = ("--set", f"data_dir={tmp_path}", "--url", f"http://127.0.0.1:{config.feed.port}")
    row = get(config, "/v1/rows?limit=1&after=4")[1]["rows"][0]
    for words in (
        ("audit", "query", "--limit", "1005", "--json"),
        ("audit", "query", "--key", "AAPL", "--newest", "--limit", "3", "--json"),
        ("audit", "query", "--after", "7", "--since", "1990-01-01T00:00:00Z", "--limit", "2", "--json"),
        ("audit", "query", "--outcome", "expired", "--json"),
        ("explain", row["event_id"], "--json"),
        ("explain", row["webhook_id"]),
    ):
        code, found, errors = told(config, *words, *there)
        assert (code, errors) == (0, "")
        assert found == told(config, *words, *here)[1]
    assert told(config, "explain", "nothing-like-it", *there)[0] == 1
    assert "no answer" in told(config, "explain", "x", "--url", "http://127.0.0.1:1")[2]
    assert "--url ftp://x" in told(config, "audit", "query", "--url", "ftp://x")[2]


def test_what_is_asked_wrongly_is_answered_by_name(running: Running) -> None:
    config = running.config
    for path, status, field in (
        ("/v1/rows?limit=0", 400, "limit"),
        ("/v1/rows?cursor=zzz", 400, "cursor"),
        ("/v1/events/12", 400, "event_id"),
        ("/v1/events/" + "0" * 32, 404, "event_id"),
        ("/v1/nothing", 404, None),
        ("/v1/feed", 400, None),
    ):
        found, problem = get(config, path)
        assert (found, problem.get("field"), problem["status"]) == (status, field, status), path
    assert get(config, "/v1/head", Origin="https://evil.example")[0] == 403


def test_the_probe_prints_percentiles_and_how_sure_the_clocks_are(running: Running) -> None:
    posting = threading.Thread(target=post, args=(running.config, range(3000, 3030)))
    posting.start()
    code, found, _ = ringline(running.config, "feed", "probe", "--seconds", "2")
    posting.join()
    assert code == 0
    assert abs(found["offset_ms"]) <= found["offset_uncertainty_ms"] + 1
    assert found["heartbeats"]["count"] + found["rows"]["count"] > 0


def test_tail_goes_on_over_kills_of_the_feed_where_it_was(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    with Running(config) as running:
        post(config, range(5))
        wait_for(lambda: head(config) == 10, "the first rows")
        file = tmp_path / "config.json"
        file.write_bytes(msgspec.json.encode(config))
        manifest = tmp_path / "manifest.json"
        words = ["feed", "tail", "--from", "1", "--limit", "60", "--manifest", str(manifest), "--json"]
        with subprocess.Popen(
            [sys.executable, "-m", "pipeline", *words, "--config", str(file)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
            env={**os.environ, "PYTHONPATH": "."},
        ) as tail:  # fmt: skip
            assert tail.stdout is not None
            first = [json.loads(tail.stdout.readline()) for _ in range(10)]
            running.kill("feed")
            post(config, range(5, 20))
            running.kill("feed")
            post(config, range(20, 30))
            rest = [json.loads(line) for line in tail.stdout]
            assert tail.wait(30) == 0
        assert seqs([*first, *rest]) == list(range(1, 61))
        code, proved, _ = ringline(config, "feed", "replay", "--manifest", str(manifest))
        assert (code, proved["rows"]) == (0, 60)
    with contextlib.closing(sqlite3.connect(sqlite_file(config))) as forger:
        forger.execute("UPDATE rows SET body = CAST(body || x'00' AS BLOB) WHERE seq = 33")
        forger.commit()
    code, refuted, _ = ringline(config, "feed", "replay", "--manifest", str(manifest))
    assert code == 1
    assert "row 33 is not as it was written" in refuted["detail"]


def test_a_client_that_takes_nothing_is_cut_and_holds_up_nobody(tmp_path: Path) -> None:
    config = make_config(tmp_path, feed={"stall_s": 1})
    with Running(config):
        post(config, range(150), ("AAPL", "MSFT", "GOOG"))
        wait_for(lambda: head(config) == 450, "the rows")
        with socket.socket() as lazy:
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", config.feed.port))
            lazy.sendall(
                b"GET /v1/feed?from=1 HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n"
                b"connection: upgrade\r\nsec-websocket-version: 13\r\n"
                b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            )
            with follow(config, "?from=1") as other:
                assert seqs(messages(other, 450)) == list(range(1, 451))
            wait_for(lambda: get(config, "/healthz")[1]["clients"] == 0, "it to be cut")
    kept = [msgspec.json.decode(file.read_bytes()) for file in (tmp_path / "data" / "feed").glob("*.json")]
    assert any("took nothing for 1 s" in one["closed"] for one in kept), kept


def test_the_feed_reads_postgresql_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_postgres() as server:
        monkeypatch.setenv("RINGLINE_AUDIT_DSN", server.dsn)
        config = make_config(tmp_path, audit={"engine": "postgres", "workers": 2})
        with Running(config):
            with follow(config) as connection:
                post(config, range(20))
                found = messages(connection, 40)
            assert seqs(found) == list(range(1, 41))
            with follow(config, "?from=1") as connection:
                assert seqs(messages(connection, 40)) == list(range(1, 41))
            assert len(get(config, "/v1/rows?key=AAPL")[1]["rows"]) == 20


def test_when_the_pipeline_leaves_clients_get_the_last_rows_and_where_to_resume(tmp_path: Path) -> None:
    config = make_config(tmp_path)
    found: list[dict[str, Any]] = []
    with Running(config):
        connection = follow(config)
        post(config, range(10))
    with connection, pytest.raises(ConnectionClosed) as caught:
        until_closed(connection, found)
    assert caught.value.rcvd is not None
    assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (1012, "the server leaves; resume from 21")
    assert seqs(found) == list(range(1, 21))
    assert found[-1]["manifest"]["next"] == 21
