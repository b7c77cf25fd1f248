"""Whose a change of the replicas was."""

from __future__ import annotations

from dataclasses import replace

from pipeline_operator.kube.client import FIELD_MANAGER
from pipeline_operator.runtime.replicas import KnownReplicas
from pipeline_operator.runtime.seen import SeenSet

NOW = 1_700_000_000_000_000
SET = SeenSet("trading", "agent", "u", "10", 3, "agent", "r", ((FIELD_MANAGER, NOW),))


def by(manager: str, replicas: int, at_us: int = NOW) -> SeenSet:
    return replace(SET, replicas=replicas, owners=((manager, at_us),))


def test_what_is_first_seen_is_nobodys_doing() -> None:
    known = KnownReplicas("u", None)
    known.look(by("helm", 1), NOW)
    known.look(by("helm", 1, NOW + 1), NOW + 1)
    assert known.foreign_us is None


def test_our_own_write_is_not_foreign_even_when_its_answer_was_lost() -> None:
    known = KnownReplicas("u", 3)
    known.look(SET, NOW)
    known.wrote(5)
    known.look(replace(SET, replicas=5), NOW)
    known.look(replace(SET, replicas=7), NOW)
    assert known.foreign_us is None


def test_a_change_by_somebody_else_is_foreign_from_when_it_was_seen() -> None:
    known = KnownReplicas("u", 3)
    known.look(SET, NOW)
    known.look(by("kubectl", 5, NOW - 999), NOW)
    assert known.foreign_us == NOW
    known.look(by("kubectl", 5), NOW + 9)
    assert known.foreign_us == NOW


def test_a_change_while_nobody_watched_dates_from_their_last_write() -> None:
    known = KnownReplicas("u", 3)
    known.look(by("kubectl", 5, NOW - 60_000_000), NOW)
    assert known.foreign_us == NOW - 60_000_000
    late = KnownReplicas("u", 3)
    late.look(by("kubectl", 5, NOW + 60_000_000), NOW)
    assert late.foreign_us == NOW


def test_a_renewed_ownership_of_the_same_value_is_not_foreign() -> None:
    known = KnownReplicas("u", 3)
    known.look(by("helm", 3), NOW)
    known.look(by("argocd", 3, NOW + 5), NOW + 5)
    assert known.foreign_us is None
