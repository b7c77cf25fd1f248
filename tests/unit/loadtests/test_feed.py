from __future__ import annotations

import json

from loadtests.feed import Follower


def hello(start: int) -> str:
    return json.dumps({"type": "hello", "start": start, "head": start - 1, "sent_us": 1})


def row(seq: int) -> str:
    return json.dumps({"type": "row", "seq": seq, "sent_us": 1, "hash": "", "row": {}})


def heartbeat(following: int) -> str:
    return json.dumps({"type": "heartbeat", "next": following, "head": following - 1, "sent_us": 1})


def missed(follower: Follower, *messages: str) -> int:
    return sum(follower.take(message).missed for message in messages)


def test_rows_in_order_miss_nothing() -> None:
    follower = Follower()
    assert missed(follower, hello(5), row(5), row(6), heartbeat(7), row(7)) == 0
    assert follower.next == 8


def test_a_row_left_out_is_missed() -> None:
    assert missed(Follower(), hello(5), row(5), row(8)) == 2


def test_a_row_that_comes_again_is_no_better() -> None:
    assert missed(Follower(), hello(5), row(5), row(5)) == 1


def test_a_heartbeat_ahead_of_the_rows_shows_what_was_missed() -> None:
    assert missed(Follower(), hello(5), row(5), heartbeat(9)) == 3


def test_after_a_break_it_goes_on_where_it_was() -> None:
    follower = Follower()
    missed(follower, hello(5), row(5))
    assert missed(follower, hello(6), row(6)) == 0
    assert missed(follower, hello(9), row(9)) == 2
