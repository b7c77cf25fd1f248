"""Rings left behind: bounded, and what is removed is counted once, against whomever it may concern."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import limits
from pipeline.telemetry import layout, left_rings
from pipeline.telemetry.collector import Collector
from pipeline.telemetry.left_rings import is_left, remove_oldest
from pipeline.telemetry.ring import Ring, create_ring
from pipeline.telemetry.sla import SLAThreshold, Verdict

MOST = limits.MAX_LEFT_RINGS


def nobody() -> bool:
    return False


def left_by(directory: Path, worker: str, records: int = 1, event_id: int = 3, value: int = 5) -> Ring:
    """A ring whose writer was killed: nobody holds it, and it never said that it ends."""
    ring = create_ring(directory, worker, 64)
    for number in range(records):
        ring.put(number + 1, value, event_id)
    ring.abandon()
    return ring


def told(directory: Path) -> tuple[int, int]:
    """What the next collector counts, and what it says was lost."""
    collector = Collector(directory)
    collector.tick(final=True)
    collector.tick(final=True)
    latencies = collector.aggregate.latencies
    counted = sum(int(latencies.totals.row(one).sum()) for one in latencies.series.values())
    lost = collector.lost()
    collector.close()
    return counted, lost


def test_of_killed_writers_no_more_rings_stay_than_of_those_that_left(tmp_path: Path) -> None:
    for number in range(3 * MOST):
        left_by(tmp_path, f"web-{number}", 7)
        assert len(list(tmp_path.iterdir())) <= MOST
    assert len(list(tmp_path.iterdir())) == MOST
    counted, lost = told(tmp_path)
    assert counted + lost == 7 * 3 * MOST
    assert counted >= 7 * MOST


def test_of_writers_that_leave_one_by_one_no_more_rings_stay_either(tmp_path: Path) -> None:
    for number in range(2 * MOST):
        ring = create_ring(tmp_path, f"web-{number}", 64)
        ring.put(1, 5, 3)
        ring.close()
        assert len(list(tmp_path.iterdir())) == min(number + 1, MOST)


def test_processes_that_are_killed_one_by_one_leave_no_more(tmp_path: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from pipeline.telemetry import MetricsCollector
for number in range(40):
    if (child := os.fork()) == 0:
        metrics = MetricsCollector()
        metrics.publish(Path(sys.argv[1]), "web-0", 64)
        metrics.record(3, 5)
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
"""
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, stderr=subprocess.DEVNULL)
    assert len(list(tmp_path.iterdir())) == MOST


def test_writers_that_leave_at_one_time_tell_each_loss_once(tmp_path: Path) -> None:
    rings = [create_ring(tmp_path, f"web-{number}", 64) for number in range(4 * MOST)]
    for ring in rings:
        for number in range(10):
            ring.put(number + 1, 5, 3)
    together = threading.Barrier(len(rings))

    def leave(ring: Ring) -> None:
        together.wait()
        ring.close()

    threads = [threading.Thread(target=leave, args=(ring,)) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Each may have seen the others still writing, and none have taken any away: the next one to come does.
    create_ring(tmp_path, "next-0", 64).close()
    assert len(list(tmp_path.iterdir())) <= MOST
    counted, lost = told(tmp_path)
    assert counted + lost == 10 * len(rings)
    assert lost >= 10 * (len(rings) - MOST)


def one_too_many(directory: Path, oldest_has: int) -> Path:
    """One more left ring than are kept; returns the oldest, which can be told by what is in it."""
    oldest = create_ring(directory, "oldest-0", 64)
    rings = [oldest, *(create_ring(directory, f"web-{number}", 64) for number in range(MOST))]
    for ring, records in zip(rings, [oldest_has, *[1] * MOST], strict=True):
        for number in range(records):
            ring.put(number + 1, 5, 3)
        ring.abandon()
    assert oldest.path is not None
    for number, path in enumerate(ring.path for ring in rings if ring.path):
        os.utime(path, ns=(number, number))
    assert is_left(oldest.path)
    return oldest.path


def answers(*given: Callable[[], bool]) -> Callable[[], bool]:
    """A `collected` that is asked once before anything is touched, then once a ring."""
    left = list(given)
    return lambda: left.pop(0)()


def test_two_that_remove_at_one_time_count_a_ring_once(tmp_path: Path) -> None:
    path = one_too_many(tmp_path, 7)
    charged: list[int] = []

    def meanwhile() -> bool:
        remove_oldest(tmp_path, charged.append, nobody, opening=False)
        assert charged == []
        return False

    remove_oldest(tmp_path, charged.append, answers(nobody, meanwhile), opening=False)
    assert charged == [7]
    assert not path.exists()


def test_a_collector_that_comes_meanwhile_gets_the_ring(tmp_path: Path) -> None:
    path = one_too_many(tmp_path, 7)
    charged: list[int] = []
    remove_oldest(tmp_path, charged.append, answers(nobody, lambda: True), opening=False)
    assert (charged, path.exists()) == ([], True)
    assert told(tmp_path) == (7 + MOST, 0)


def test_a_collector_takes_nothing_out_of_a_ring_that_is_just_being_removed(tmp_path: Path) -> None:
    one_too_many(tmp_path, 7)
    charged: list[int] = []
    found: list[tuple[int, int]] = []

    def meanwhile() -> bool:
        found.append(told(tmp_path))
        return False

    remove_oldest(tmp_path, charged.append, answers(nobody, meanwhile), opening=False)
    assert (found, charged) == ([(MOST, 0)], [7])


def test_what_a_killed_remover_had_given_up_is_still_taken(tmp_path: Path) -> None:
    path = one_too_many(tmp_path, 7)

    def killed() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remove_oldest(tmp_path, lambda _: None, answers(nobody, killed), opening=False)
    assert path.read_bytes()[layout.GIVEN_UP_BYTE] == 1
    assert told(tmp_path) == (7 + MOST, 0)


def test_what_the_removed_ring_had_dropped_or_removed_itself_is_counted_too(tmp_path: Path) -> None:
    path = one_too_many(tmp_path, 64 + 6)
    with path.open("r+b") as file:
        file.seek(layout.REMOVED_BYTE)
        file.write(layout.proven_count(100).to_bytes(8, "little"))
    os.utime(path, ns=(0, 0))
    charged: list[int] = []
    remove_oldest(tmp_path, charged.append, nobody, opening=False)
    assert charged == [64 + 6 + 100]


def test_what_was_removed_may_be_any_stages(tmp_path: Path) -> None:
    left_by(tmp_path, "agent-0", 60, 15, 900_000_000)
    for number in range(MOST + 1):
        left_by(tmp_path, f"web-{number}")
    last = create_ring(tmp_path, "agent-0", 128)
    collector = Collector(tmp_path, thresholds=[SLAThreshold(15, 95, 50_000_000)])
    for _ in range(100):
        last.put(1, 5, 15)
    collector.tick(final=True)
    assert collector.lost_of({"agent"}) == collector.lost_of({"web"}) == collector.lost() >= 60
    assert {one.verdict for one in collector.results()} == {Verdict.UNKNOWN}
    last.close()
    collector.close()


def test_a_collector_that_comes_and_goes_tells_a_removal_once(tmp_path: Path) -> None:
    one_too_many(tmp_path, 7)
    last = create_ring(tmp_path, "agent-0", 64)
    assert told(tmp_path) == (MOST - 1, 7 + 1)
    assert told(tmp_path) == (0, 0)
    last.close()


def test_who_has_nothing_of_its_own_still_leaves_word_of_what_it_removed(tmp_path: Path) -> None:
    one_too_many(tmp_path, 7)
    create_ring(tmp_path, "agent-0", 64).close()
    assert told(tmp_path) == (MOST - 1, 7 + 1)


def test_what_is_no_ring_is_not_removed(tmp_path: Path) -> None:
    strangers = [tmp_path / f"{number}.ring" for number in range(MOST + 3)]
    for path in strangers:
        path.write_bytes(b"something else")
    create_ring(tmp_path, "agent-0", 64).close()
    assert all(path.exists() for path in strangers)


def test_who_opens_among_many_living_ones_looks_at_them_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []

    def look(path: Path) -> bool:
        looks.append(path)
        return is_left(path)

    monkeypatch.setattr(left_rings, "is_left", look)
    rings = [create_ring(tmp_path, f"web-{number}", 64) for number in range(5 * MOST)]
    assert len(looks) <= sum(range(MOST, 5 * MOST + 1, MOST)) + 5
    for ring in rings:
        ring.close()
