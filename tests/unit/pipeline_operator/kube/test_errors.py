"""Answers that say no."""

from __future__ import annotations

import pytest

from pipeline_operator.kube.errors import error_of


def test_a_status_is_read() -> None:
    body = (
        b'{"kind":"Status","reason":"Conflict","message":"owned",'
        b'"details":{"causes":[{"reason":"FieldManagerConflict"}]}}'
    )
    error = error_of(409, body)
    assert (error.status, error.reason, error.message) == (409, "Conflict", "owned")
    assert error.is_field_conflict


def test_anything_else_is_told_as_it_came_and_cut() -> None:
    assert error_of(502, b"<html>Bad Gateway</html>").message == "<html>Bad Gateway</html>"
    assert len(error_of(500, b"x" * 10_000).message) == 200
    assert error_of(503, b"\xff\xfe").message
    assert not error_of(409, b'{"kind":"Status","details":{"causes":["odd"]}}').is_field_conflict


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(400, True), (401, True), (403, True), (422, True), (500, True),
     (404, False), (409, False), (429, False), (502, False), (503, False), (504, False)],
)  # fmt: skip
def test_a_refusal_is_what_no_newer_version_and_no_patience_heals(status: int, refusal: bool) -> None:
    assert error_of(status, b"no").is_refusal == refusal
