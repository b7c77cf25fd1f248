"""Names in the environment that mean nothing are told, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.config.environment import OTHERS, unknown_names
from pipeline.config.schema import Config, Source

ROOT = Path(__file__).parents[3]


def test_a_mistyped_key_is_told_with_the_one_that_was_meant() -> None:
    (line,) = unknown_names({"RINGLINE_JOURNAL_MAX_BYTE": "1"}, Config())
    assert line == (
        "RINGLINE_JOURNAL_MAX_BYTE: in the environment, but no key of the configuration; "
        "did you mean RINGLINE_JOURNAL_MAX_BYTES?"
    )


def test_a_name_like_no_key_is_told_alone() -> None:
    assert unknown_names({"RINGLINE_XYZZY": "1"}, Config()) == [
        "RINGLINE_XYZZY: in the environment, but no key of the configuration"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "RINGLINE_JOURNAL_MAX_BYTES", "RINGLINE_CONFIG", "RINGLINE_AUDIT_DSN", "RINGLINE_TEST_REDIS",
        "RINGLINE_OPERATOR_PORT", "RINGLINE_AUDIT_SERVICE_HOST", "RINGLINE_AUDIT_PORT_8005_TCP_ADDR",
        "RINGLINE_AUDIT_SERVICE_PORT_HTTP", "RINGLINE_COLLECTOR_PORT",
    ],
)  # fmt: skip
def test_what_means_something_is_not_told(name: str) -> None:
    assert unknown_names({name: "1"}, Config()) == []


def test_a_variable_that_the_configuration_names_is_not_told() -> None:
    config = Config(sources={"demo": Source(secret_env=("RINGLINE_DEMO_SECRET",))})
    assert unknown_names({"RINGLINE_DEMO_SECRET": "…"}, config) == []
    assert unknown_names({"RINGLINE_DEMO_SECRET": "…"}, Config()) != []


def test_every_variable_that_the_product_reads_is_known() -> None:
    quoted = re.compile(r'"(RINGLINE_[A-Z_]*[A-Z])"')
    read = {
        name
        for folder in ("pipeline", "loadtests")
        for file in (ROOT / folder).rglob("*.py")
        for name in quoted.findall(file.read_text())
    }
    assert "RINGLINE_CONFIG" in read
    assert unknown_names(dict.fromkeys(read | OTHERS, ""), Config()) == []
