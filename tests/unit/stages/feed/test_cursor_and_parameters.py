from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.stages.feed.cursor import make_cursor, read_cursor
from pipeline.stages.feed.wanted import ParameterError, feed_wanted, page_wanted
from pipeline.storage.audit.query import Filter, Query


@given(place=st.integers(0, 2**62), newest_first=st.booleans(), key=st.text(max_size=8))
def test_a_cursor_comes_back_as_it_was_given(place: int, newest_first: bool, key: str) -> None:
    query = Query(Filter(keys=(key,)), newest_first=newest_first)
    assert (
        read_cursor(make_cursor(query, place), Query(Filter(keys=(key,)), newest_first=newest_first)) == place
    )


@given(text=st.text(max_size=60))
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is none that was given out"):
        read_cursor(text, Query(Filter()))


@pytest.mark.parametrize(
    "other", [Query(Filter(keys=("B",))), Query(Filter(keys=("A",)), newest_first=True), Query(Filter())]
)
def test_a_cursor_of_another_query_is_refused(other: Query) -> None:
    with pytest.raises(UsageError, match="other filters or another order"):
        read_cursor(make_cursor(Query(Filter(keys=("A",))), 7), other)


@pytest.mark.parametrize("position", range(32))
def test_a_cursor_with_one_character_changed_is_refused(position: int) -> None:
    query = Query(Filter())
    cursor = make_cursor(query, 7)
    changed = cursor[:position] + ("A" if cursor[position] != "A" else "B") + cursor[position + 1 :]
    with pytest.raises(UsageError):
        read_cursor(changed, query)


@pytest.mark.parametrize(
    ("query_string", "field", "said"),
    [
        (b"limit=0", "limit", "limit = '0': expected a whole number from 1 to 1000"),
        (b"limit=1001", "limit", "1 to 1000"),
        (b"limit=1&limit=2", "limit", "given 2 times; the limit is 1"),
        (b"colour=red", "colour", "unknown; here are key, outcome"),
        (b"outcome=lost", "outcome", "expected one of filled"),
        (b"since=yesterday", "since", "since: 'yesterday' is not an RFC 3339 time"),
        (b"event_id=12", "event_id", "expected 32 hexadecimal digits"),
        (b"order=up", "order", "expected one of asc, desc"),
        (b"key=" + b"A" * 33, "key", "the limit is 32 characters"),
        (b"key=", "key", "expected 1 to 255 characters"),
        (b"key=%ff", "query", "is no query string of UTF-8"),
        (b"&" * 5000, "query", "5000 characters; the limit is 4096"),
        (b"after=-1", "after", "expected a whole number"),
    ],
)
def test_a_bad_parameter_is_named_with_its_value_and_limit(
    query_string: bytes, field: str, said: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        page_wanted(query_string)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_good_parameters_are_understood() -> None:
    wanted = page_wanted(
        b"key=B&key=A&outcome=filled&since=2026-01-01T00:00:00Z&strategy=sma&order=desc&limit=5"
    )
    assert wanted.query.wanted == Filter(
        keys=("A", "B"), outcomes=("filled",), since_us=1_767_225_600_000_000, strategy="sma"
    )
    assert (wanted.query.newest_first, wanted.limit, wanted.cursor) == (True, 5, "")
    feed = feed_wanted(b"from=7&key=A&heartbeat_ms=100", 5000)
    assert (feed.start, feed.wanted.keys, feed.heartbeat_ms, feed.delay_ms) == (7, ("A",), 100, 0)
    assert feed_wanted(b"delay_ms=1000", 5000).delay_ms == 1000
    with pytest.raises(ParameterError, match="delay_ms = '1001': expected a whole number from 0 to 1000"):
        feed_wanted(b"delay_ms=1001", 5000)
    assert feed_wanted(b"", 5000).start is None


def test_a_hash_without_the_row_that_follows_it_says_nothing() -> None:
    with pytest.raises(ParameterError, match="after_hash"):
        feed_wanted(b"after_hash=" + b"0" * 64, 5000)


@given(query_string=st.binary(max_size=200))
@example(query_string=b"=")
def test_no_query_string_at_all_ends_in_anything_but_a_parameter_error(query_string: bytes) -> None:
    for read in (page_wanted, lambda text: feed_wanted(text, 5000)):
        try:
            read(query_string)
        except ParameterError as error:
            assert error.field
