"""Problems are RFC 9457 documents from one table."""

from __future__ import annotations

import json

import pytest

from pipeline.stages.gateway.problem import CONTENT_TYPE, Problem, problem


@pytest.mark.parametrize("kind", list(Problem))
def test_every_problem_has_type_title_and_status(kind: Problem) -> None:
    answer = problem(kind, "why")
    document = json.loads(answer.content)
    assert document == {"type": kind.uri, "title": kind.title, "status": kind.status, "detail": "why"}
    assert answer.status == kind.status
    assert 400 <= kind.status < 600
    assert CONTENT_TYPE in answer.headers


def test_types_are_distinct() -> None:
    assert len({kind.uri for kind in Problem}) == len(Problem)


def test_field_and_retry_after_are_members_and_the_latter_a_header_too() -> None:
    answer = problem(Problem.JOURNAL_FULL, "full", field="x", retry_after_s=7)
    document = json.loads(answer.content)
    assert (document["field"], document["retry_after_s"]) == ("x", 7)
    assert (b"retry-after", b"7") in answer.headers


def test_detail_of_any_text_stays_json() -> None:
    text = 'a "quoted"\r\nline\x00 and é'
    assert json.loads(problem(Problem.NOT_FOUND, text).content)["detail"] == text


def test_a_closing_answer_is_the_same_and_ends_the_connection() -> None:
    answer = problem(Problem.NOT_FOUND, "gone").closing()
    assert (b"connection", b"close") in answer.headers
    assert [name for name, _ in answer.headers].count(b"content-length") == 1


def test_the_raw_form_is_a_whole_response() -> None:
    head, _, content = problem(Problem.REQUEST_TIMEOUT, "slow").raw().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"content-length: %d" % len(content) in head
