"""Whoever looks gets every point once, whenever he comes and however slowly he reads."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import limits
from pipeline.web.history import History, Place, go_on
from pipeline.web.view import Point
from pipeline.web.viewers import Viewer, Viewers


def point(number: int, at_ms: int = 0) -> Point:
    return Point(
        number=number, at_ms=at_ms or number * 1000, count=1, lost=0, p50_ms=1, p95_ms=2, p99_ms=3,
        rate_per_s=1, lag_ms=(None, None, None),
    )  # fmt: skip


def test_points_are_bounded_and_numbered_on() -> None:
    history = History()
    for _ in range(limits.PAGE_POINTS + 5):
        history.add(point(history.next_number))
    assert len(history.after(0)) == limits.PAGE_POINTS
    assert history.after(0)[0].number == 6
    assert history.next_number == limits.PAGE_POINTS + 6


@given(points=st.integers(0, 30), seen=st.integers(0, 40))
def test_who_has_some_points_is_given_those_that_come_after(points: int, seen: int) -> None:
    history = History()
    history._points = deque(maxlen=20)
    for _ in range(points):
        history.add(point(history.next_number))
    kept = range(max(1, points - 19), points + 1)
    assert [one.number for one in history.after(seen)] == [number for number in kept if number > seen]


def test_a_point_is_due_a_second_after_the_last_or_when_the_clock_was_set_back() -> None:
    history = History()
    assert history.due(1000)
    history.add(point(1, 10_000))
    assert not history.due(10_000 + limits.PAGE_POINT_MS - 1)
    assert history.due(10_000 + limits.PAGE_POINT_MS)
    assert history.due(9_000)


def test_who_comes_from_another_server_gets_all_that_this_one_has_whatever_its_number() -> None:
    history = History("now")
    for number in range(1, 8):
        history.add(point(number))

    def got(text: str) -> list[int]:
        return [one.number for one in history.after(history.seen(Place.of(text)))]

    assert got("now:4") == [5, 6, 7]
    for foreign in ("before:4", "before:7", "before:99", "4", ":4", "now:99", "0"):
        assert got(foreign) == [1, 2, 3, 4, 5, 6, 7], foreign


def test_no_two_servers_have_one_epoch_and_a_place_reads_as_it_was_written() -> None:
    epochs = {History().epoch for _ in range(100)}
    assert len(epochs) == 100
    for epoch in epochs:
        assert Place.of(str(Place(epoch, 12))) == Place(epoch, 12)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "a:", "a:x", "a b:1", "a:1:2", "é:1", "1" * 16, "a" * 33 + ":1", "²"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^.*$"):
        Place.of(text)


def test_a_viewer_keeps_its_past_and_shows_where_another_server_began() -> None:
    seen = deque([point(1), point(2), point(3)])
    go_on(seen, [point(4)], same=True)
    go_on(seen, [point(1, 5000), point(2, 6000)], same=False)
    assert [one.number for one in seen] == [1, 2, 3, 4, 0, 1, 2]
    assert seen[4].p95_ms is None
    higher = deque([point(1), point(2)])
    go_on(higher, [point(3, 8000)], same=False)
    assert [one.number for one in higher] == [1, 2, 0, 3], "the next number of another server is no next one"


def test_points_that_were_missed_leave_a_gap_and_moments_told_twice_are_those_told_last() -> None:
    seen = deque([point(1), point(2)])
    go_on(seen, [point(9), point(10)], same=True)
    assert [one.number for one in seen] == [1, 2, 0, 9, 10]
    go_on(seen, [point(1, 9000), point(2, 11_000)], same=False)
    told = [(one.number, one.at_ms) for one in seen]
    assert told == [(1, 1000), (2, 2000), (0, 2000), (1, 9000), (2, 11_000)]
    assert [one.at_ms for one in seen] == sorted(one.at_ms for one in seen)


def events(data: bytes | None) -> list[tuple[str, Any]]:
    found = []
    for text in (data or b"").decode().split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in text.split("\n"))
        found.append((fields["event"], json.loads(fields["data"])))
    return found


async def read(viewers: Viewers, viewer: Viewer) -> list[tuple[str, Any]]:
    return events(await viewer.next(viewers.history))


@given(steps=st.lists(st.sampled_from(["point", "read", "leave"]), max_size=60))
def test_every_point_comes_once_and_in_order_whatever_is_missed_between(steps: list[str]) -> None:
    async def run() -> list[int]:
        viewers, seen = Viewers(), []
        viewer = viewers.join(Place())
        for step in [*steps, "point", "read"]:
            if step == "point":
                viewers.give(point(viewers.history.next_number), frame=b"1")
            elif step == "leave" and viewer is not None:
                viewers.leave(viewer)
                viewer = viewers.join(Place(viewers.history.epoch, viewer.seen))
            elif viewer is not None and viewers.history.after(viewer.seen):
                viewer.give({"frame": b"1"})
                for name, data in await read(viewers, viewer):
                    if name == "points":
                        seen += [one[0] for one in data]
        assert seen == list(range(1, viewers.history.next_number))
        return seen

    asyncio.run(run())


def test_a_newcomer_gets_no_frame_or_book_of_before_and_a_slow_one_only_the_newest() -> None:
    async def run() -> None:
        viewers = Viewers()
        other = viewers.join(Place())
        assert other is not None
        viewers.give(point(1), frame=b'{"number":1}', book=b'{"seq":1}', steps=b"{}")
        viewers.leave(other)
        viewer = viewers.join(Place())
        assert viewer is not None
        assert viewers.came.is_set()
        assert [name for name, _ in await read(viewers, viewer)] == ["points"]
        viewers.give(frame=b'{"number":2}')
        viewers.give(frame=b'{"number":3}')
        assert await read(viewers, viewer) == [("frame", {"number": 3})]
        viewers.close()
        assert await viewer.next(viewers.history) is None
        assert viewers.join(Place()) is None

    asyncio.run(run())


def test_what_is_for_some_is_told_to_those_of_them_who_still_look() -> None:
    async def run() -> None:
        viewers = Viewers()
        gone, there = viewers.join(Place()), viewers.join(Place())
        assert gone is not None
        assert there is not None
        audience = viewers.all()
        viewers.leave(gone)
        late = viewers.join(Place())
        assert late is not None
        viewers.give_to(audience, book=b'{"seq":1}')
        viewers.give(frame=b'{"number":1}')
        assert await read(viewers, there) == [("book", {"seq": 1}), ("frame", {"number": 1})]
        assert await read(viewers, late) == [("frame", {"number": 1})]

    asyncio.run(run())


def test_there_is_room_for_so_many_and_no_more() -> None:
    viewers = Viewers()
    joined = [viewers.join(Place()) for _ in range(limits.MAX_VIEWERS)]
    assert all(joined)
    assert viewers.join(Place()) is None
    assert joined[0] is not None
    viewers.leave(joined[0])
    assert viewers.join(Place()) is not None
