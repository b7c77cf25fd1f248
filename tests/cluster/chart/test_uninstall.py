"""An uninstall leaves what the chart's README says and nothing else, and its commands remove that."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from chart_release import CHART, NAME, Release, until
from left_behind import FULLNAME, commands, documented, left_behind

WHERE_MADE = {
    f"Secret/{FULLNAME}-page",
    f"Secret/{FULLNAME}-valuation",
    f"PersistentVolumeClaim/data-{FULLNAME}-valuation-0",
    f"PersistentVolumeClaim/{FULLNAME}-loadtest",
}
"""Of what is documented, what a release as it is by default has not."""


@pytest.fixture
def operated() -> Iterator[Release]:
    release = Release(f"ringline-uninstalled-{os.getpid()}")
    release.make_namespace()
    try:
        release.install()
        yield release
    finally:
        release.drop_namespace()


def test_what_is_left_is_what_is_documented_and_its_commands_remove_it(operated: Release) -> None:
    assert "Succeeded" in operated.helm("test", NAME, "--timeout=240s")
    operated.helm("upgrade", NAME, str(CHART), "--reuse-values")
    operated.rolled_out()
    until("somebody decides", lambda: operated.get("lease", "ringline-operator")["spec"]["holderIdentity"])
    told = in_notes(operated)
    operated.helm("uninstall", NAME, "--wait", "--timeout=240s")
    until("the pods are gone", lambda: not operated.get("pods")["items"])
    assert left_behind(operated) == documented() - WHERE_MADE
    removing = commands()
    assert len(removing) == 2
    assert told == [["--namespace", operated.namespace, *words] for words in removing]
    for words in removing:
        operated.kubectl(*words)
    assert left_behind(operated) == {"CustomResourceDefinition/pipelines.ringline.dev"}


def in_notes(release: Release) -> list[list[str]]:
    """What the installed chart's notes say to type, but for the CustomResourceDefinition's."""
    lines = map(str.split, release.helm("get", "notes", NAME).splitlines())
    found = [words[1:] for words in lines if words[:1] == ["kubectl"] and "delete" in words]
    return [words for words in found if "crd" not in words]
