"""The page asks every collector that its names lead to, and says which do not answer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline import limits
from pipeline.config import resolve
from pipeline.errors import MissingError
from pipeline.snapshot import Replica, Snapshot, encode_snapshot
from pipeline.stages.feed.collectors import (
    CollectorClient,
    Collectors,
    addresses,
    collectors_of,
    elsewhere_of,
)


class Pod:
    """A collector on an address of this machine, which tells of one worker."""

    def __init__(self, address: str, port: int, worker: str) -> None:
        self.asked: list[str] = []
        stage, _, ordinal = worker.partition("-")
        own = Replica(stage=stage, ordinal=int(ordinal), name=worker, age_ms=1)
        self.content = encode_snapshot(
            Snapshot(taken_us=1, uptime_s=1, stages=(), replicas=(own,), latencies=())
        )
        self.links = b'{"reports":[{"name":"%s","taken_us":1}]}' % worker.encode()
        asked, content = self.asked, self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = content.links if self.path == "/v1/links" else content.content
                self.send_response(200 if body else 404)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer((address, port), Handler)
        self.port = int(self.server.server_address[1])

    @contextlib.contextmanager
    def serving(self) -> Iterator[Pod]:
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


@pytest.fixture
def pods() -> Iterator[tuple[Pod, Pod]]:
    first = Pod("127.0.0.1", 0, "agent-0")
    second = Pod("127.0.0.2", first.port, "exec-0")
    with first.serving(), second.serving():
        yield first, second


def workers(snapshot: Snapshot) -> list[str]:
    return [one.name for one in snapshot.replicas]


def test_all_that_the_names_lead_to_are_shown_together(pods: tuple[Pod, Pod]) -> None:
    places = {"agent": ["127.0.0.1"], "exec": ["127.0.0.2", "127.0.0.1"]}
    collectors = Collectors(("agent", "exec"), pods[0].port, places.__getitem__)
    snapshot, fault = collectors.told(brief=False)
    assert (workers(snapshot), fault) == (["agent-0", "exec-0"], "")
    assert [path.partition("END_TO_END")[1] for pod in pods for path in pod.asked] == ["END_TO_END"] * 2
    collectors.told(brief=True)
    assert pods[0].asked[-1] == "/v1/snapshot?brief=1"
    collectors.close()


def test_one_that_does_not_answer_is_named_and_the_others_are_shown(pods: tuple[Pod, Pod]) -> None:
    collectors = Collectors(("all",), pods[0].port, lambda _: ["127.0.0.1", "127.0.0.3"])
    snapshot, fault = collectors.told(brief=True)
    assert workers(snapshot) == ["agent-0"]
    assert fault.startswith("1 of 2 collectors: collector http://127.0.0.3:")
    collectors.close()


def test_who_comes_and_who_goes_is_noticed(pods: tuple[Pod, Pod]) -> None:
    now = ["127.0.0.1"]
    collectors = Collectors(("all",), pods[0].port, lambda _: list(now))
    assert workers(collectors.told(brief=True)[0]) == ["agent-0"]
    now[:] = ["127.0.0.2"]
    assert workers(collectors.told(brief=True)[0]) == ["exec-0"]
    collectors.close()


def test_links_are_those_of_all_of_them_and_of_one_that_tells_none_there_are_none(
    pods: tuple[Pod, Pod],
) -> None:
    collectors = Collectors(("all",), pods[0].port, lambda _: ["127.0.0.1", "127.0.0.2"])
    elsewhere = elsewhere_of(resolve({}), collectors)
    assert elsewhere is not None
    elsewhere.look()
    assert elsewhere.reports == [], "nobody is known yet"
    collectors.told(brief=True)
    elsewhere.look()
    assert [one.name for one in elsewhere.reports] == ["agent-0", "exec-0"]
    pods[0].links = b""  # of a version that has no such page
    pods[1].links = b"[]"
    elsewhere.look()
    assert (elsewhere.reports, elsewhere.decisions) == ([], ())
    collectors.close()


def test_one_machine_reads_its_own_files() -> None:
    assert elsewhere_of(resolve({}), collectors_of(resolve({}))) is None


def test_an_operator_that_does_not_answer_is_shown_with_nothing(pods: tuple[Pod, Pod]) -> None:
    for url in (f"http://127.0.0.1:{pods[0].port}/v1/x", "http://127.0.0.3:9/v1/x"):
        config = resolve({"feed": {"collector_names": ["all"], "operator_url": url}})
        collectors = Collectors(("all",), pods[0].port, lambda _: ["127.0.0.1"])
        elsewhere = elsewhere_of(config, collectors)
        assert elsewhere is not None
        elsewhere.look()
        assert elsewhere.decisions == ()
        collectors.close()


def test_nobody_there_is_one_clear_line(pods: tuple[Pod, Pod]) -> None:
    nobody = Collectors(("agent", "exec"), pods[0].port, lambda _: [])
    with pytest.raises(MissingError, match="agent, exec: no addresses"):
        nobody.told(brief=True)
    nobody.close()
    pods[0].content = b"{}"
    broken = Collectors(("agent",), pods[0].port, lambda _: ["127.0.0.1"])
    with pytest.raises(MissingError, match="no snapshot"):
        broken.told(brief=True)
    broken.close()


def test_no_more_are_asked_than_can_be_added_up(pods: tuple[Pod, Pod]) -> None:
    many = [f"127.0.1.{number}" for number in range(limits.MAX_PAGE_COLLECTORS)]
    collectors = Collectors(("all",), pods[0].port, lambda _: [*many, "127.0.0.1"])
    with pytest.raises(MissingError, match=r"127\.0\.1\.0"):
        collectors.told(brief=True)
    collectors.close()


def test_a_name_has_addresses_or_none() -> None:
    assert addresses("localhost") == ["127.0.0.1"]
    assert addresses("no-such-name.invalid") == []


def test_the_configuration_names_them_or_one_or_its_own() -> None:
    one = collectors_of(resolve({"feed": {"collector_url": "http://127.0.0.9:1"}}))
    assert isinstance(one, CollectorClient)
    several = collectors_of(resolve({"feed": {"collector_names": ["a", "b"]}}))
    assert isinstance(several, Collectors)
    several.close()
    assert isinstance(collectors_of(resolve({})), CollectorClient)
