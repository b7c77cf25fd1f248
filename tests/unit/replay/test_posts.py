from __future__ import annotations

import msgspec
import pytest

from pipeline.messages import CandleIn
from pipeline.replay.history import read_history
from pipeline.replay.posts import keyed, lane_posts, plan, webhook_id
from pipeline.replay.spec import Task

HISTORY = read_history()


def task(**changes: object) -> Task:
    return msgspec.structs.replace(
        Task(host="h", port=1, source="demo", secret="whsec_", run_id="run"), **changes
    )


def test_a_webhook_id_is_the_same_for_every_attempt_and_has_no_dot() -> None:
    one = webhook_id("run", "AAPL", "2000-03-01T21:00:00Z")
    assert one == webhook_id("run", "AAPL", "2000-03-01T21:00:00Z")
    assert "." not in one


@pytest.mark.parametrize(
    "other", [("run2", "AAPL", "2000-03-01"), ("run", "IBM", "2000-03-01"), ("run", "AAPL", "2000-03-02")]
)
def test_a_webhook_id_differs_for_another_run_symbol_or_date(other: tuple[str, str, str]) -> None:
    assert webhook_id(*other) != webhook_id("run", "AAPL", "2000-03-01")


def test_posts_of_a_key_are_its_candles_in_order() -> None:
    planned = plan(HISTORY, task(limit=10))
    posts = list(lane_posts("run", planned, "IBM"))
    assert [msgspec.json.decode(post.body, type=CandleIn) for post in posts] == list(HISTORY["IBM"][:2])
    assert len({post.webhook_id for post in posts}) == 2


def test_keys_made_for_a_measurement_have_names_of_their_own_and_real_bars() -> None:
    series = keyed(HISTORY, 64)
    assert len(series) == 64
    assert all(len(candles) >= 2000 for candles in series.values())
    post = next(lane_posts("run", series, "GOOG.01"))
    assert msgspec.json.decode(post.body)["symbol"] == "GOOG.01"
    assert msgspec.json.decode(post.body)["close"] == HISTORY["GOOG"][0].close


def test_a_later_task_goes_on_where_an_earlier_one_stopped() -> None:
    planned = plan(HISTORY, task(first={"IBM": 3000, "FB": 196}))
    assert planned["IBM"][0] == HISTORY["IBM"][3000]
    assert not planned.get("FB")
