"""The chart on a real cluster: KUBECONFIG, `helm`, `kubectl` and an image that is there; skipped without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chart_release import Release, why_not

HERE = Path(__file__).parent
FIXED = ("operator.enabled=false",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if HERE in item.path.parents]
    reason = why_not() if ours else ""
    for item in ours:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="module")
def release(request: pytest.FixtureRequest) -> Iterator[Release]:
    """A release on fixed replicas in a namespace of the module's own."""
    name = Path(str(request.module.__file__)).stem.removeprefix("test_").replace("_", "-")
    made = Release(f"ringline-{name[:30]}-{os.getpid()}")
    made.make_namespace()
    try:
        made.installed_s = made.install(*FIXED)
        yield made
    finally:
        made.drop_namespace()
