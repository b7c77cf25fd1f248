"""Whose a change of the replicas was."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

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


def test_a_watch_that_lags_behind_what_a_former_operator_wrote_shows_nothing_foreign() -> None:
    """The status says 5, which that operator wrote; the watch still shows Helm's 1 of before its write."""
    known = KnownReplicas("u", 5, "11")
    known.look(replace(by("helm", 1), version="10"), NOW)
    assert (known.foreign_us, known.known) == (None, 5)
    known.look(replace(SET, replicas=5, version="11"), NOW)
    known.look(replace(by("kubectl", 2), version="12"), NOW)
    assert known.foreign_us == NOW


def test_what_is_older_than_our_own_write_shows_nothing_foreign() -> None:
    known = KnownReplicas("u", None)
    known.look(replace(by("helm", 1), version="10"), NOW)
    known.wrote(5, "11")
    known.look(replace(by("helm", 1), version="10"), NOW)
    known.look(replace(SET, replicas=5, version="13"), NOW)
    known.look(replace(by("helm", 1), version="9"), NOW)
    assert known.foreign_us is None


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.data())
def test_as_long_as_only_operators_write_nothing_is_foreign_however_late_it_is_seen(
    written: list[int], data: st.DataObject
) -> None:
    """Helm makes it with one replica; operators write, and any of them may be another process that knows only
    what the one before left in the status; the watch is late as it likes, but never goes back."""
    history = [replace(by("helm", 1), version="100")]
    known, shown = KnownReplicas("u", None), 0
    for replicas in written:
        history.append(replace(SET, replicas=replicas, version=str(100 + len(history))))
        known.wrote(replicas, history[-1].version)
        if data.draw(st.booleans(), label="another operator"):
            left = data.draw(st.sampled_from(history), label="what the status says")
            known = KnownReplicas("u", left.replicas, left.version)
        shown = data.draw(st.integers(shown, len(history) - 1), label="what the watch shows")
        known.look(history[shown], NOW)
        assert known.foreign_us is None


def released(replicas: int, manager: str = "helm", *, left_to_us: bool = True) -> SeenSet:
    return replace(by(manager, replicas), left_to_us=left_to_us)


def test_what_the_release_puts_back_is_nobodys_wish_and_what_there_was_is_known() -> None:
    known = KnownReplicas("u", 4)
    known.look(released(4), NOW)
    known.look(released(1), NOW + 1)
    assert (known.foreign_us, known.put_back_from) == (None, 4)
    known.look(released(2), NOW + 2)
    known.look(released(1), NOW + 3)
    assert known.put_back_from == 4, "until we have written"
    known.wrote(4)
    assert known.put_back_from is None


def test_it_is_also_known_to_an_operator_that_began_after_it() -> None:
    known = KnownReplicas("u", 4)
    known.look(released(1, "helm-controller"), NOW)
    assert (known.foreign_us, known.put_back_from) == (None, 4)


def test_a_release_that_decides_the_replicas_itself_and_anybody_beside_it_are_respected() -> None:
    for seen in (
        released(1, left_to_us=False),
        released(1, "kubectl"),
        replace(released(1), owners=(("helm", NOW), ("kubectl", NOW))),
    ):
        known = KnownReplicas("u", 4)
        known.look(released(4), NOW)
        known.look(seen, NOW + 1)
        assert (known.foreign_us, known.put_back_from) == (NOW + 1, None), seen


def test_a_release_that_puts_more_is_neither_foreign_nor_taken_back() -> None:
    known = KnownReplicas("u", 2)
    known.look(released(2), NOW)
    known.look(released(3), NOW + 1)
    assert (known.known, known.foreign_us, known.put_back_from) == (3, None, None)
