"""The rows about a cluster, where there is none."""

from __future__ import annotations

import pytest

from pipeline_operator.bench import reaction
from pipeline_operator.trial.reaction import p95


def test_without_a_cluster_each_row_says_why_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    rows = reaction.run()
    assert [row.name for row in rows] == list(reaction.NAMES)
    assert {row.against for row in rows} == {"skipped: KUBECONFIG is not set"}
    assert {(row.value, row.met) for row in rows} == {(None, None)}


def test_the_95th_of_twenty_is_the_second_worst() -> None:
    assert p95([float(value) for value in range(1, 21)]) == 19.0
    assert p95([7.0]) == 7.0
