"""Which audit a configuration names, and where its DSN comes from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import Config, load
from pipeline.errors import MissingError
from pipeline.storage.audit import SqliteAuditStore
from pipeline.storage.audit.engines import find_dsn, open_reader, open_store


def postgres(*assignments: str) -> Config:
    return load(assignments=["audit.engine=postgres", *assignments])


def test_a_file_is_the_default(tmp_path: Path) -> None:
    config = load(assignments=[f"data_dir={tmp_path}"])
    with pytest.raises(MissingError, match="there is none"):
        open_reader(config)
    with contextlib.closing(open_store(config)) as store:
        assert isinstance(store, SqliteAuditStore)
    with contextlib.closing(open_reader(config)) as reader:
        assert reader.head().seq == 0


def test_a_server_is_named_by_a_variable(postgres_dsn: str, new_schema: Callable[[], str]) -> None:
    schema = new_schema()
    config = postgres(f"audit.postgres_schema={schema}", "audit.dsn_env=THE_DSN", "audit.workers=2")
    environment = {"THE_DSN": postgres_dsn}
    with (
        contextlib.closing(open_store(config, environment)),
        contextlib.closing(open_reader(config, environment)) as reader,
    ):
        assert reader.verify().ok


def test_a_file_with_the_dsn_beats_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("host=a\n")
    assert find_dsn(postgres(f"audit.dsn_file={file}"), {"RINGLINE_AUDIT_DSN": "host=b"}) == "host=a"
    assert find_dsn(postgres(), {"RINGLINE_AUDIT_DSN": "host=b"}) == "host=b"


@pytest.mark.parametrize(
    ("assignments", "content", "said"),
    [
        ([], None, "environment variable RINGLINE_AUDIT_DSN: holds no DSN"),
        (["audit.dsn_file={}"], None, "audit.dsn_file .*: No such file"),
        (["audit.dsn_file={}"], b" \n", "audit.dsn_file .*: holds no DSN"),
        (["audit.dsn_file={}"], b"\xff", "audit.dsn_file .*: is no UTF-8 text"),
    ],
)
def test_without_a_dsn_something_is_missing(
    tmp_path: Path, assignments: list[str], content: bytes | None, said: str
) -> None:
    file = tmp_path / "dsn"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MissingError, match=said):
        find_dsn(postgres(*(text.format(file) for text in assignments)), {})
