"""Each rival does what its documentation says it does."""

from __future__ import annotations

import pytest

from pipeline_operator.simulation.hpa import Behavior, average_value_desired, resource_desired
from pipeline_operator.simulation.knative import Panic, desired


@pytest.mark.parametrize(
    ("value", "target", "replicas", "wanted"),
    [
        # The documentation's own figures: 200m where 100m is wanted doubles, 50m halves.
        (0.2, 0.1, 3, 6),
        (0.05, 0.1, 4, 2),
        # A ratio within 0.1 of 1 changes nothing.
        (0.109, 0.1, 10, 10),
        (0.091, 0.1, 10, 10),
        (0.111, 0.1, 10, 12),
    ],
)
def test_hpa_scales_by_the_ratio(value: float, target: float, replicas: int, wanted: int) -> None:
    assert resource_desired([value] * replicas, 0, replicas, target) == wanted


def test_hpa_counts_pods_that_are_not_ready_as_idle_when_scaling_up() -> None:
    """They dampen a raise; where they would turn it round, nothing happens."""
    assert resource_desired([1.0] * 2, 0, 2, 0.5) == 4
    assert resource_desired([1.0] * 2, 2, 4, 0.5) == 4
    assert resource_desired([1.0] * 4, 1, 5, 0.5) == 8
    assert resource_desired([], 3, 3, 0.5) == 3


def test_hpa_stabilises_downwards_for_300_s() -> None:
    behavior = Behavior(1, 100)
    assert behavior.limited(10, 10, 0) == 10
    assert behavior.limited(2, 10, 299) == 10
    assert behavior.limited(2, 10, 301) == 2


def test_hpa_adds_4_pods_or_doubles_in_15_s() -> None:
    behavior = Behavior(1, 1000)
    assert behavior.limited(500, 1, 0) == 5
    assert behavior.limited(500, 5, 10) == 5, "what was added within the period counts"
    assert behavior.limited(500, 5, 15) == 10
    assert behavior.limited(500, 10, 30) == 20


def test_keda_gives_a_queue_its_share() -> None:
    """The documentation of its SQS scaler: a target of 10 and 30 messages make 3 pods."""
    assert average_value_desired(30, 1, 10) == 3
    assert average_value_desired(31, 1, 10) == 4
    assert average_value_desired(32, 3, 10) == 3, "within HPA's tolerance"


def test_knative_divides_concurrency_by_its_target() -> None:
    assert desired(100, 100, 10, 10, Panic(), 60) == 10
    assert desired(105, 105, 10, 10, Panic(), 60) == 11
    assert desired(10, 10, 10, 10, Panic(), 60) == 5, "down to a half at most"


def test_knative_panics_at_twice_the_pods_and_never_goes_down_in_panic() -> None:
    """It leaves the panic when there was no reason for it within a stable window."""
    panic = Panic()
    assert desired(100, 199, 10, 10, panic, 0) == 20
    assert panic.since_s == 0, "ceil(19.9) pods are twice 10"
    assert desired(100, 50, 20, 10, panic, 10) == 20
    assert desired(100, 400, 20, 10, panic, 20) == 40
    assert desired(100, 50, 40, 10, panic, 79) == 40
    assert desired(200, 50, 40, 10, panic, 80) == 20
    assert panic.since_s is None
