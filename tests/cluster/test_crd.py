"""The CustomResourceDefinition, as a real API server understands it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pipelines import two_stages, with_field

from pipeline_operator import limits
from pipeline_operator.errors import SpecError
from pipeline_operator.kube import paths
from pipeline_operator.kube.access import Access
from pipeline_operator.kube.client import Api
from pipeline_operator.kube.errors import ApiError
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.trial.stand import install_crd

Spec = dict[str, Any]


@asynccontextmanager
async def an_api(access: Access) -> AsyncIterator[Api]:
    async with Api(access) as api:
        await install_crd(api)
        yield api


async def tried(api: Api, spec: Spec) -> Any:
    """The object as it would be stored (dry run). Raises ApiError."""
    body = {
        "apiVersion": paths.API_VERSION,
        "kind": "Pipeline",
        "metadata": {"name": f"p-{secrets.token_hex(4)}"},
        "spec": spec,
    }
    params = {"dryRun": "All", "fieldValidation": "Strict"}
    return await api.request("create", paths.pipelines("default"), body=body, params=params)


def stored(access: Access, spec: Spec) -> Any:
    async def ask() -> Any:
        async with an_api(access) as api:
            return await tried(api, spec)

    return asyncio.run(ask())


def refusal(access: Access, spec: Spec) -> str:
    with pytest.raises(ApiError) as caught:
        stored(access, spec)
    assert caught.value.status in (400, 422)
    return caught.value.message


GOOD = two_stages()
TUNING_OF_EACH = {
    "tickMs": (100, 10_000),
    "staleAfterMs": (500, 60_000),
    "raiseMinCount": (1, 100_000),
    "raiseUsePerMille": (100, 1000),
    "drainMs": (1_000, 600_000),
    "lowerHoldMs": (0, 3_600_000),
    "contestedHoldMs": (0, 3_600_000),
}

WRONG: list[tuple[str, Spec, str]] = [
    (
        "min above max",
        {"stages": with_field(GOOD, 1, minReplicas=9)},
        "minReplicas must be at most maxReplicas",
    ),
    ("unknown upstream", {"stages": with_field(GOOD, 1, upstream=["nobody"])}, "upstream must name stages"),
    (
        "upstream itself",
        {"stages": with_field(GOOD, 1, upstream=["gateway", "agent"])},
        "a stage cannot send to itself",
    ),
    (
        "two in a circle",
        {"stages": with_field(GOOD, 0, upstream=["agent"])},
        "two stages send to each other",
    ),
    ("upstream twice", {"stages": with_field(GOOD, 1, upstream=["gateway", "gateway"])}, "Duplicate value"),
    ("lag of a gateway", {"stages": with_field(GOOD, 0, slas={"lagMs": 5})}, "has no lag, which its senders"),
    ("target twice", {"stages": with_field(GOOD, 1, target="gateway")}, "a target is given twice"),
    ("name twice", {"stages": with_field(GOOD, 1, name="gateway", upstream=[])}, "Duplicate value"),
    ("budget too small", {"stages": GOOD, "replicaBudget": 1}, "at least the sum of all minReplicas"),
    ("no stages", {"stages": []}, "should have at least 1 items"),
    ("no spec", {}, "spec.stages: Required value"),
    (
        "too many stages",
        {"stages": [{"name": f"s{n}", "target": f"t{n}"} for n in range(limits.MAX_STAGES + 1)]},
        f"must have at most {limits.MAX_STAGES} items",
    ),
    ("no replicas", {"stages": with_field(GOOD, 1, minReplicas=0)}, "greater than or equal to 1"),
    (
        "too many replicas",
        {"stages": with_field(GOOD, 1, maxReplicas=limits.MAX_REPLICAS + 1)},
        f"less than or equal to {limits.MAX_REPLICAS}",
    ),
    ("a float", {"stages": with_field(GOOD, 1, maxReplicas=2.5)}, "must be of type integer"),
    ("a name in capitals", {"stages": with_field(GOOD, 1, name="Agent")}, "should match"),
    ("another mode", {"stages": GOOD, "mode": "off"}, 'supported values: "active", "recommend", "paused"'),
    ("unknown field", {"stages": with_field(GOOD, 1, replicas=3)}, "unknown field"),
    (
        "lower above raise",
        {"stages": GOOD, "tuning": {"lowerUsePerMille": 1000}},
        "lowerUsePerMille must be at most raiseUsePerMille",
    ),
    (
        "a latency twice",
        {
            "stages": with_field(
                GOOD, 1, slas={"latency": [{"event": "A", "limitMs": 5}, {"event": "A", "limitMs": 6}]}
            )
        },
        "Duplicate value",
    ),
    (
        "a percentile of a hundred",
        {
            "stages": with_field(
                GOOD, 1, slas={"latency": [{"event": "A", "limitMs": 5, "percentileBasisPoints": 10_000}]}
            )
        },
        "less than or equal to 9999",
    ),
    ("a negative lag", {"stages": with_field(GOOD, 1, slas={"lagMs": -1})}, "greater than or equal to 1"),
]


@pytest.mark.parametrize(("spec", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_pipeline_is_refused_with_a_sentence(access: Access, spec: Spec, message: str) -> None:
    assert message in refusal(access, spec)
    with pytest.raises(SpecError):  # and by the operator, should an older CRD let it pass
        parse_spec({"spec": spec} if spec else {})


@pytest.mark.parametrize(("field", "span"), TUNING_OF_EACH.items(), ids=list(TUNING_OF_EACH))
def test_tuning_has_ranges(access: Access, field: str, span: tuple[int, int]) -> None:
    lowest, highest = span
    others = {"lowerUsePerMille": 100}
    for value in span:
        stored(access, {"stages": GOOD, "tuning": {**others, field: value}})
    assert f"less than or equal to {highest}" in refusal(
        access, {"stages": GOOD, "tuning": {field: highest + 1}}
    )
    assert f"greater than or equal to {lowest}" in refusal(
        access, {"stages": GOOD, "tuning": {field: lowest - 1}}
    )


def test_the_api_server_fills_in_the_defaults_that_the_operator_has(access: Access) -> None:
    short = {
        "stages": [
            {"name": "gateway", "target": "gw"},
            {"name": "agent", "target": "a", "upstream": ["gateway"]},
        ]
    }
    found = stored(access, short)
    assert found["spec"]["mode"] == "active"
    assert found["spec"]["tuning"]["contestedHoldMs"] == 600_000
    assert parse_spec(found) == parse_spec({"spec": short})


def test_the_largest_pipeline_that_is_allowed_is_taken(access: Access) -> None:
    """CEL rules have a cost limit at run time too."""
    latency = [{"event": f"E{n}", "limitMs": 5} for n in range(limits.MAX_LATENCY_SLAS)]
    names = [f"stage-{n:02}-{'x' * 54}" for n in range(limits.MAX_STAGES)]
    stages = [
        {
            "name": name,
            "target": f"target-{index:02}-{'y' * 53}",
            "upstream": names[max(0, index - limits.MAX_UPSTREAM) : index],
            "maxReplicas": limits.MAX_REPLICAS,
            "slas": {"throttlePerMille": 1, "latency": latency},
        }
        for index, name in enumerate(names)
    ]
    spec = {"stages": stages, "replicaBudget": limits.MAX_BUDGET}
    assert len(parse_spec(stored(access, spec)).stages) == limits.MAX_STAGES


def test_status_and_spec_are_written_apart(access: Access) -> None:
    async def ask() -> None:
        async with an_api(access) as api:
            name = f"p-{secrets.token_hex(4)}"
            path = paths.pipelines("default", name)
            await api.create(
                paths.pipelines("default"),
                {
                    "apiVersion": paths.API_VERSION,
                    "kind": "Pipeline",
                    "metadata": {"name": name},
                    "spec": {"stages": GOOD},
                    "status": {"replicas": 5},
                },
            )
            try:
                made = await api.get(path)
                assert "status" not in made
                told = await api.merge(
                    path + "/status", {"status": {"replicas": 3}, "spec": {"mode": "paused"}}
                )
                assert (told["status"]["replicas"], told["spec"]["mode"]) == (3, "active")
                assert told["metadata"]["generation"] == made["metadata"]["generation"]
                changed = await api.merge(path, {"spec": {"mode": "paused"}, "status": {"replicas": 9}})
                assert (changed["status"]["replicas"], changed["spec"]["mode"]) == (3, "paused")
                assert changed["metadata"]["generation"] == made["metadata"]["generation"] + 1
            finally:
                await api.delete(path)

    asyncio.run(ask())


def test_a_status_that_no_operator_writes_is_refused(access: Access) -> None:
    async def ask() -> None:
        async with an_api(access) as api:
            name = f"p-{secrets.token_hex(4)}"
            path = paths.pipelines("default", name)
            body = {"apiVersion": paths.API_VERSION, "kind": "Pipeline", "metadata": {"name": name}}
            await api.create(paths.pipelines("default"), {**body, "spec": {"stages": GOOD}})
            try:
                for status, message in (
                    ({"conditions": [{"type": "Fine"}]}, "supported values"),
                    ({"replicas": -1}, "greater than or equal to 0"),
                    ({"worstSla": "x" * (limits.MAX_STATUS_TEXT_CHARS + 1)}, "may not be more than"),
                ):
                    with pytest.raises(ApiError, match=message):
                        await api.merge(path + "/status", {"status": status})
            finally:
                await api.delete(path)

    asyncio.run(ask())
