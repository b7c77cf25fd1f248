"""Tests against a real API server. They need KUBECONFIG and nothing else, and are skipped without it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pipeline_operator.kube.access import Access, find_access
from pipeline_operator.trial.stand import Stand, a_stand

HERE = Path(__file__).parent
WHY_NOT = "KUBECONFIG is not set: `make test-cluster` runs these against a real API server"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            if not os.environ.get("KUBECONFIG"):
                item.add_marker(pytest.mark.skip(reason=WHY_NOT))
            elif item.path.parent == HERE:
                item.add_marker(pytest.mark.timeout(300))  # several waits, each with a limit of its own


@pytest.fixture(scope="session")
def access() -> Access:
    return find_access()


@pytest.fixture
def on_a_stand(access: Access) -> Callable[[Callable[[Stand], Coroutine[Any, Any, None]]], None]:
    """Runs a coroutine on a namespace of its own."""

    def run(work: Callable[[Stand], Coroutine[Any, Any, None]]) -> None:
        async def all_of_it() -> None:
            async with a_stand(access) as stand:
                await work(stand)

        asyncio.run(all_of_it())

    return run
