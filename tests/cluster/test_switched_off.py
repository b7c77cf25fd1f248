"""An upgrade that switches the operator off leaves it the right to give its Leases back, and no other."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator

import pytest
from chart_release import CHART, NAME, Release, run, until
from rights import access_of

from pipeline_operator.kube.access import Access
from pipeline_operator.kube.client import Api
from pipeline_operator.runtime.service import Service
from pipeline_operator.runtime.settings import RunSettings, own_identity

pytestmark = pytest.mark.skipif(
    not (shutil.which("helm") and shutil.which("kubectl")), reason="helm or kubectl is not on PATH"
)
WHO = f"{NAME}-ringline"
NUMBERS = itertools.count()
LEASES = ("ringline-operator", f"ringline-operator-{WHO}")


@pytest.fixture
def release() -> Iterator[Release]:
    made = Release(f"ringline-switched-{os.getpid()}-{next(NUMBERS)}")
    run("kubectl", "apply", "--server-side", "--force-conflicts", "--filename", str(CHART / "crds"))
    run("kubectl", "create", "namespace", made.namespace)
    try:
        yield made
    finally:
        run("kubectl", "delete", "namespace", made.namespace, "--wait=false")


def holders(release: Release) -> dict[str, str]:
    """Lease → who holds it; those that are free are not in it."""
    leases = json.loads(release.kubectl("get", "leases", "-o", "json"))["items"]
    found = {one["metadata"]["name"]: one["spec"].get("holderIdentity") or "" for one in leases}
    return {name: holder for name, holder in found.items() if holder}


def names(release: Release, kind: str) -> set[str]:
    found = {one["metadata"]["name"] for one in release.get(kind)["items"]}
    return {name.removeprefix(f"{WHO}-") for name in found if name.startswith(WHO)}


def upgrade(release: Release, *sets: str) -> None:
    words = [word for text in sets for word in ("--set", text)]
    release.helm("upgrade", "--install", NAME, str(CHART), "--no-hooks", *words)


def test_an_operator_that_an_upgrade_switches_off_gives_its_leases_back(
    release: Release, access: Access
) -> None:
    upgrade(release)

    async def operate() -> None:
        """The release's operator with the release's rights; its pod need not run for that."""
        async with Api(access) as api:
            its = await access_of(api, access, release.namespace, f"{WHO}-operator")
        identity = own_identity()
        settings = RunSettings(
            (release.namespace,), host="127.0.0.1", port=0, records="", identity=identity, name=WHO
        )
        stop = asyncio.Event()
        running = asyncio.create_task(Service(settings, its).run(stop))
        try:
            held = dict.fromkeys(LEASES, identity)
            await asyncio.to_thread(until, "both Leases", lambda: holders(release) == held, 30)
            await asyncio.to_thread(upgrade, release, "operator.enabled=false")
            assert await asyncio.to_thread(holders, release) == held
            assert "operator" not in await asyncio.to_thread(names, release, "roles")
        finally:
            stop.set()  # as SIGTERM does
            began_s = time.monotonic()
            await running
            print(f"told to stop → ended: {time.monotonic() - began_s:.2f} s")

    asyncio.run(operate())
    assert holders(release) == {}, "the next operator need not wait"


def test_the_upgrade_after_that_leaves_no_right_at_all(release: Release) -> None:
    upgrade(release, "operator.enabled=true")
    assert names(release, "rolebindings") == names(release, "roles") == {"operator", "operator-lease"}
    upgrade(release, "operator.enabled=false")
    assert names(release, "deployments") == set()
    assert names(release, "rolebindings") == names(release, "roles") == {"operator-lease"}
    assert names(release, "serviceaccounts") == {"operator", "pipeline"}
    rights = release.rights("operator")
    assert rights == [
        f"leases.coordination.k8s.io [] [{name}] [get update]" for name in sorted(LEASES, reverse=True)
    ]
    upgrade(release, "operator.enabled=false")
    assert names(release, "rolebindings") == names(release, "roles") == set()
    assert names(release, "serviceaccounts") == {"pipeline"}
    upgrade(release, "operator.enabled=true")
    assert names(release, "rolebindings") == names(release, "roles") == {"operator", "operator-lease"}
