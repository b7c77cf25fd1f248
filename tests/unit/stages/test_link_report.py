from __future__ import annotations

from pathlib import Path

import pytest
from toy_pipeline import World

from pipeline.cli.link_table import show_links
from pipeline.clock import NS_PER_MS
from pipeline.messages import Control, encode
from pipeline.stages.link_report import LinkReporter, Queue, read_link_reports, standing_of
from pipeline.transport.judge import Judge
from pipeline.transport.worker import Worker


def test_every_worker_tells_of_its_queues_and_links(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    world.network.run(100 * NS_PER_MS)
    for number in range(6):
        world.post("K", b"%d" % number)
    gateway = world.gateway
    assert gateway is not None
    reporter = LinkReporter("gateway-0", tmp_path)
    reporter.see(gateway)
    world.settle()
    reporter.write(gateway, 77, strangers=2, hot_keys=(("K", 6),))
    agent, judge = world.worker("agent-0"), world.network.node("audit-0")
    assert isinstance(judge, Judge)
    LinkReporter("agent-0", tmp_path).write(agent, 78)
    LinkReporter("audit-0", tmp_path).write(judge, 79)
    (tmp_path / "broken.json").write_bytes(b"{")

    of_agent, of_audit, of_gateway = read_link_reports(tmp_path)
    assert of_gateway.queues == {"unsettled": Queue(0, 6)}
    (link,) = of_gateway.links
    assert (link.up, link.credit, link.in_flight, link.version) == (True, 32, 0, 1)
    assert set(of_agent.queues) == {"inbox", "outputs", "received", "questions"}
    assert set(of_audit.queues) == {"waiting", "received"}
    show_links([of_agent, of_audit, of_gateway])
    shown = capsys.readouterr().out
    assert "agent-0    exec-0" in shown
    assert "Hot keys at gateway-0: K 6" in shown

    reporter.remove()
    assert [report.name for report in read_link_reports(tmp_path)] == ["agent-0", "audit-0"]


def test_where_nothing_was_told_there_is_nothing(tmp_path: Path) -> None:
    assert read_link_reports(tmp_path) == []
    (tmp_path / "file").write_text("no folder")
    worker = World().worker("exec-0")
    assert isinstance(worker, Worker)
    LinkReporter("exec-0", tmp_path / "file" / "links").write(worker, 1)
    assert read_link_reports(tmp_path / "file" / "links") == []


def test_the_moment_is_told_on_the_clock_of_what_waits(tmp_path: Path) -> None:
    world = World()
    world.network.run(100 * NS_PER_MS)
    gateway = world.gateway
    assert gateway is not None
    LinkReporter("gateway-0", tmp_path).write(gateway, 77, now_ns=world.network.now_ns)
    (report,) = read_link_reports(tmp_path)
    assert report.taken_ns == world.network.now_ns


def test_the_controls_in_force_are_told_in_words(tmp_path: Path) -> None:
    gateway = World().gateway
    assert gateway is not None
    payloads = [encode(Control("halt", "before the open")), encode(Control("flatten", ""))]
    LinkReporter("gateway-0", tmp_path).write(gateway, 77, standing=standing_of(payloads))
    (told,) = read_link_reports(tmp_path)
    assert told.standing == ("halt: before the open", "flatten")
