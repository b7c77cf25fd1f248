"""Which worker of its stage a pod's container runs."""

from __future__ import annotations

import pytest

from pipeline.config import Config
from pipeline.config.schema import Agent
from pipeline.errors import UsageError
from pipeline.stages import worker_ordinal

CONFIG = Config(agent=Agent(workers=2))


def test_without_a_replica_the_ordinal_is_what_was_asked_for() -> None:
    assert worker_ordinal("agent", 7, "", CONFIG) == 7


def test_each_replica_has_the_next_ordinals() -> None:
    pods = ("rl-agent-0", "rl-agent-1", "rl-agent-12")
    found = [worker_ordinal("agent", index, pod, CONFIG) for pod in pods for index in (0, 1)]
    assert found == [0, 1, 2, 3, 24, 25]
    assert worker_ordinal("exec", 0, "exec-3", CONFIG) == 3


@pytest.mark.parametrize("name", ["agent", "agent-", "agent-x", "agent-²", "agent-9999"])
def test_a_name_without_a_usable_number_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="replica"):
        worker_ordinal("agent", 0, name, CONFIG)


def test_a_worker_that_replicas_do_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match="a replica of agent has 2"):
        worker_ordinal("agent", 2, "agent-0", CONFIG)
