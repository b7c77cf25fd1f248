"""The audit where its files are not: rows by its HTTP interface, with a token that may read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from loadtests import limits
from loadtests.row_said import RowSaid
from loadtests.task import Task, token_of
from loadtests.web import Page, bearer, fetch, problem_detail
from pipeline.errors import MissingError
from pipeline.limits import MAX_PAGE_ROWS


class _Rows(Struct):
    rows: list[RowSaid]
    next: str | None = None


class _Head(Struct):
    seq: int


_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_head = msgspec.json.Decoder(_Head).decode
NOT_VERIFIED = "its HTTP does not tell: `ringline audit verify` where its files are does"


class HttpAudit:
    """Asks again when it is away for a moment. Raises MissingError when it stays away or refuses."""

    def __init__(self, task: Task, *, retry_after_s: float = limits.AUDIT_RETRY_S) -> None:
        self._url = task.audit_url
        self._headers = bearer(token_of(task))
        self._retry_after_s = retry_after_s

    def end(self) -> int:
        """The number of the last row there is; 0 for none."""
        try:
            return _decode_head(self._asked("/v1/head").body).seq
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MissingError(f"{self._url}/v1/head: no head of an audit: {error}") from None

    def rows_after(self, after: int) -> Iterator[RowSaid]:
        """Every row after that one, in the order of the chain."""
        asked = {"order": "asc", "limit": str(MAX_PAGE_ROWS)} | ({"after": str(after)} if after else {})
        while True:
            path = f"/v1/rows?{urlencode(asked)}"
            try:
                found = _decode_rows(self._asked(path).body)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise MissingError(f"{self._url}{path}: no rows of an audit: {error}") from None
            yield from found.rows
            if found.next is None:
                return
            asked["cursor"] = found.next

    def _asked(self, path: str) -> Page:
        said = ""
        for turn in range(limits.AUDIT_TRIES):
            if turn:
                time.sleep(self._retry_after_s)
            try:
                page = fetch(f"{self._url}{path}", headers=self._headers, timeout_s=limits.ANSWER_S)
            except MissingError as error:
                said = str(error)
                continue
            if page.status == 200:
                return page
            said = f"{self._url}{path}: answers {page.status}: {problem_detail(page.body)}"
            if page.status in (400, 401, 403, 404):
                break
        raise MissingError(said)
