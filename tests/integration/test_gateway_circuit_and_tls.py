"""The circuit breaker, a disk that fills and HTTPS: on a real port."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path

import localhost_tls
import pytest
from real_gateway import DEADLINE_S, SIGNAL, RealGateway, signed

from pipeline import limits
from pipeline.config.schema import Breaker, Config, Gateway, Source
from pipeline.errors import MissingError
from pipeline.signing import SharedKey
from pipeline.stages.gateway import committer
from pipeline.stages.gateway.secrets import Keys
from pipeline.stages.gateway.server import tls_files, tls_options
from pipeline.storage.journal import DiskFullError


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end
        threading.Event().wait(0.01)


class Disk:
    """Between a gateway's committer and its journal: makes syncs slow, or fail as a full disk does."""

    def __init__(self, gateway: RealGateway) -> None:
        self._sync = gateway.journal.sync
        self.full = False
        self.pause_s = 0.0
        gateway.app.committer._sync = self.sync

    def sync(self) -> int:
        threading.Event().wait(self.pause_s)
        if self.full:
            raise DiskFullError("journal /j: no space left on the disk")
        return self._sync()


def test_slow_commits_open_the_circuit_and_good_ones_close_it(tmp_path: Path) -> None:
    settings = Breaker(slow_ms=150, least_commits=2, open_s=1, probes=2)
    with RealGateway(tmp_path, Config(gateway=Gateway(breaker=settings))) as gateway:
        disk = Disk(gateway)
        disk.pause_s = 0.2
        assert [gateway.send(str(number)).status for number in range(2)] == [202, 202]
        refused = gateway.send("refused")
        assert (refused.status, refused.kind, refused.headers["retry-after"]) == (503, "circuit-open", "1")
        assert gateway.send("1").status == 202, "a repeat needs no commit"
        assert b"ringline_gateway_circuit_closed 0" in gateway.ask("GET", "/metrics").body
        disk.pause_s = 0.0
        wait_until(lambda: gateway.send("refused").status == 202)
        wait_until(lambda: gateway.send("another").status == 202)
        wait_until(lambda: b"ringline_gateway_circuit_closed 1" in gateway.ask("GET", "/metrics").body)


def test_a_batch_meets_a_half_open_circuit_event_by_event(tmp_path: Path) -> None:
    settings = Breaker(slow_ms=150, least_commits=2, open_s=1, probes=2)
    body = b"[" + b",".join([SIGNAL] * 5) + b"]"
    with RealGateway(tmp_path, Config(gateway=Gateway(breaker=settings))) as gateway:
        disk = Disk(gateway)
        disk.pause_s = 0.2
        assert [gateway.send(str(number)).status for number in range(2)] == [202, 202]
        disk.pause_s = 0.0

        def let_in() -> list[int]:
            answer = gateway.post("/webhook/demo/batch", body, signed("many", body))
            return [one["status"] for one in answer.document["results"]]

        assert let_in() == [503] * 5
        wait_until(lambda: (found := let_in()) != [503] * 5 and found == [202, 202, 503, 503, 503])
        wait_until(lambda: let_in() == [202] * 5)


def test_a_full_disk_is_waited_out_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "RETRY_S", 0.05)
    with RealGateway(tmp_path) as gateway:
        disk = Disk(gateway)
        disk.full = True
        refused = gateway.send("one")
        assert (refused.status, refused.kind, refused.headers["retry-after"]) == (503, "journal-full", "5")
        assert gateway.dispatched == []
        disk.full = False
        wait_until(lambda: len(gateway.dispatched) == 1)
        again = gateway.send("one")
        assert (again.status, again.headers["idempotent-replayed"]) == (202, "true")
        assert gateway.send("two").status == 202
        assert [delivery.webhook_id for delivery in gateway.dispatched] == ["one", "two"]


def test_a_sender_that_hangs_up_early_is_answered_before_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "TRADINGVIEW_ANSWER_MS", 100)
    config = Config(sources={"alerts": Source(profile="tradingview", allow_from=("127.0.0.1",))})
    keys = {"alerts": Keys(shared=(SharedKey(b"p" * 32, "path"),))}
    with RealGateway(tmp_path, config, keys) as gateway:
        disk = Disk(gateway)
        disk.pause_s = 1.0
        alert = b'{"ticker":"AAPL","action":"buy","id":"one"}'
        late = gateway.post("/webhook/alerts/" + "p" * 32, alert)
        assert (late.status, late.kind, late.headers["retry-after"]) == (503, "journal-slow", "1")
        disk.pause_s = 0.0
        wait_until(lambda: gateway.post("/webhook/alerts/" + "p" * 32, alert).status == 202)
        assert [delivery.webhook_id for delivery in gateway.dispatched] == ["one"]


def test_a_batch_that_meets_a_full_journal_says_when_to_come_again(tmp_path: Path) -> None:
    with RealGateway(tmp_path) as gateway:
        gateway.journal._log.stalled = True
        body = b"[" + SIGNAL + b"," + SIGNAL + b"]"
        answer = gateway.post("/webhook/demo/batch", body, signed("b", body))
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert [result["status"] for result in answer.document["results"]] == [503, 503]
        gateway.journal._log.stalled = False
        assert gateway.post("/webhook/demo/batch", body, signed("b", body)).status == 202


def test_https_by_certificate_files(tmp_path: Path) -> None:
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(localhost_tls.CERTIFICATE)
    key.write_text(localhost_tls.KEY)
    config = Config(gateway=Gateway(tls_cert_file=str(chain), tls_key_file=str(key)))
    trusting = ssl.create_default_context(cadata=localhost_tls.CERTIFICATE)
    with RealGateway(tmp_path, config) as gateway:
        response = gateway.ask("POST", "/webhook/demo", SIGNAL, signed("one"), tls=trusting)
        assert response.status == 202
        assert gateway.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")[:5] != b"HTTP/"
        assert gateway.ask("GET", "/healthz", tls=trusting).status == 200


@pytest.mark.parametrize(
    ("chain", "key", "words"),
    [
        (None, localhost_tls.KEY, "gateway.tls_cert_file = '{}': No such file or directory"),
        (localhost_tls.CERTIFICATE, None, "gateway.tls_key_file = '{}': No such file or directory"),
        (localhost_tls.CERTIFICATE, "no key", "no pair of a certificate and its unencrypted key in PEM: "),
        ("", localhost_tls.KEY, "no pair of a certificate and its unencrypted key in PEM: "),
    ],
)
def test_certificate_files_that_cannot_be_used_are_named(
    tmp_path: Path, chain: str | None, key: str | None, words: str
) -> None:
    files = [tmp_path / "chain.pem", tmp_path / "key.pem"]
    for file, text in zip(files, (chain, key), strict=True):
        if text is not None:
            file.write_text(text)
    missing = next((file for file in files if not file.exists()), "")
    settings = Gateway(tls_cert_file=str(files[0]), tls_key_file=str(files[1]))
    with pytest.raises(MissingError) as caught:
        tls_options(tls_files(settings))
    assert words.format(missing) in str(caught.value)
