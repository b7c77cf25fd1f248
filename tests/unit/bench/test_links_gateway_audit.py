"""The benches of links, gateway and audit: small runs of the real thing, and how figures are judged."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.bench import audit, gateway, links, queue_peer
from pipeline.bench.idle import cpu_ns
from pipeline.config import Config, resolve
from pipeline.figures import Result
from pipeline.transport.curve import LinkKey


def by_name(results: tuple[Result, ...]) -> dict[str, Result]:
    found = {result.name: result for result in results}
    assert len(found) == len(results)
    return found


def link_figures(**change: Any) -> links.Figures:
    good = links.Figures(
        plain=links.Carried(70_000, 6.0, 4.0), encrypted=links.Carried(50_000, 7.0, 5.0), queue_per_s=30_000,
        one_way_per_s=90_000, one_way_ms=[0.2, 0.7], idle={"supervisor": 0.1, "exec-0": 1.2},
    )  # fmt: skip
    return good._replace(**change)


def test_a_good_link_meets_every_target() -> None:
    found = by_name(links.results(link_figures(), Config()))
    assert all(result.met is not False for result in found.values())
    assert found["processor time of the whole pipeline, idle"].value == pytest.approx(1.3)
    assert found["encrypted"].ratio == pytest.approx(0.7143)


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        (
            {"plain": links.Carried(59_000, 6, 4), "queue_per_s": 20_000},
            "messages, each with both acknowledgements",
        ),
        ({"queue_per_s": 36_000}, "the same as a multiple of the queue"),
        ({"one_way_ms": [0.2, 1.1]}, "one way at 500/s, p99"),
        ({"idle": {"collector": 2.1}}, "processor time of the whole pipeline, idle"),
    ],
)
def test_what_a_link_misses_is_said(change: dict[str, Any], missed: str) -> None:
    found = links.results(link_figures(**change), Config())
    assert [result.name for result in found if result.met is False] == [missed]


@pytest.mark.parametrize("keys", [(), (LinkKey.of(b"k" * 32),)], ids=["plain", "encrypted"])
def test_every_message_over_a_real_link_is_settled(keys: tuple[LinkKey, ...]) -> None:
    context = multiprocessing.get_context("spawn")
    took = links.carried(context, 500, 64, keys)
    assert took.per_s > 0
    assert took.sender_us > 0
    assert took.receiver_us > 0


def test_the_queue_answers_every_message() -> None:
    context = multiprocessing.get_context("spawn")
    assert queue_peer.exchange(context, 300, 2).per_s > 0
    assert queue_peer.exchange(context, 300, 0).cpu_s > 0


def test_a_gateway_at_two_thirds_of_the_echo_meets_its_target_and_one_at_half_does_not() -> None:
    echo, peer = gateway.Took(9000, 40, 3), gateway.Peer("plain", 1, ())
    good = gateway.Figures(gateway.Took(6000, 60, 9), echo, echo, gateway.Took(1900, 900, 30), 1.0)
    assert [one.name for one in gateway.results(good, peer) if one.met is False] == []
    slow = good._replace(gateway=gateway.Took(4500, 60, 9))
    assert [one.name for one in gateway.results(slow, peer) if one.met is False] == [
        "of the signed echo",
        "durable accepts as a multiple of a plain receiver",
    ]
    assert len(gateway.results(good._replace(peer=None), None)) == 6


def test_the_share_of_the_echo_is_also_told_by_processor_time() -> None:
    straight = gateway.Took(12_000, 30, 2)
    figures = gateway.Figures(gateway.Took(6000, 60, 9), gateway.Took(9000, 45, 3), straight, None, 1.0)
    found = by_name(gateway.results(figures, None))
    assert found["of the signed echo, by processor time"].value == 0.75
    assert found["of the signed echo without ASGI"].value == 0.5


def test_the_gateway_bench_posts_to_a_real_gateway_and_its_echo(tmp_path: Path) -> None:
    config = resolve({"data_dir": str(tmp_path / "data")})
    bench = gateway.run(config, gateway.Options(requests=100, connections=4, repeats=1), lambda _: None)
    found = by_name(bench.results)
    assert found["durable accepts"].value
    assert found["processor time of the gateway"].value
    assert list(tmp_path.iterdir()) == []


def test_the_audit_bench_appends_to_a_real_store(tmp_path: Path) -> None:
    config = resolve({"data_dir": str(tmp_path / "data"), "audit": {"batch": 64}})
    bench = audit.run(config, audit.Options(rows=500, repeats=1), lambda _: None)
    found = by_name(bench.results)
    assert found["SQLite, chained"].value
    assert "batch of 64" in found["SQLite, chained"].against
    assert list(tmp_path.iterdir()) == []


def test_postgresql_is_judged_where_it_was_measured() -> None:
    raw, chained = audit.Took(30_000, 10), audit.Took(19_000, 15)
    assert all(one.met is not False for one in audit.results(raw, chained, None, 256, 1.0))
    (missed,) = [
        one for one in audit.results(raw, chained, audit.Took(14_000, 9), 256, 1.0) if one.met is False
    ]
    assert missed.name == "PostgreSQL, chained"


def test_processor_time_counts_every_thread() -> None:
    before = cpu_ns(os.getpid())
    deadline = time.monotonic() + 10
    while cpu_ns(os.getpid()) == before:  # the kernel counts when it next looks at the processor
        assert time.monotonic() < deadline
        sum(range(200_000))
    assert cpu_ns(os.getpid()) > before
