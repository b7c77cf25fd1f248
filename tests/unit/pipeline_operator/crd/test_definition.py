"""The CustomResourceDefinition that the chart ships is the one of the operator's types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline_operator.crd.definition import as_yaml, definition
from pipeline_operator.crd.schema import schema_of
from pipeline_operator.spec import LatencySla, PipelineSpec, Slas, StageSpec, Tuning
from pipeline_operator.status import PipelineStatus

CHART = Path(__file__).parents[4] / "charts/ringline/crds/pipelines.yaml"


def schema() -> dict[str, Any]:
    [version] = definition()["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"]["properties"])


def parts(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for inner in schema.get("properties", {}).values():
        yield from parts(inner)
    if "items" in schema:
        yield from parts(schema["items"])


def test_the_charts_file_is_what_the_command_prints() -> None:
    assert CHART.read_text() == as_yaml(), "write it anew: ringline-operator crd > " + str(CHART)


def test_every_field_of_the_types_is_there_and_described() -> None:
    spec = schema()["spec"]
    stage = spec["properties"]["stages"]["items"]
    for kind, found in (
        (PipelineSpec, spec),
        (StageSpec, stage),
        (Slas, stage["properties"]["slas"]),
        (LatencySla, stage["properties"]["slas"]["properties"]["latency"]["items"]),
        (Tuning, spec["properties"]["tuning"]),
        (PipelineStatus, schema()["status"]),
    ):
        fields = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert set(found["properties"]) == fields
        assert found["description"]


def test_there_are_no_floats_no_maps_and_nothing_without_a_bound() -> None:
    for part in [*parts(schema()["spec"]), *parts(schema()["status"])]:
        assert part["type"] in ("object", "array", "string", "integer", "boolean")
        assert "additionalProperties" not in part
        if part["type"] == "array":
            assert "maxItems" in part
        if part["type"] == "string":
            assert "maxLength" in part or "enum" in part


def test_lists_that_are_known_by_name_are_maps() -> None:
    spec, status = schema()["spec"]["properties"], schema()["status"]["properties"]
    for found, keys in (
        (spec["stages"], ["name"]),
        (status["stages"], ["name"]),
        (status["conditions"], ["type"]),
    ):
        assert (found["x-kubernetes-list-type"], found["x-kubernetes-list-map-keys"]) == ("map", keys)


def test_every_rule_has_a_sentence() -> None:
    rules = [rule for part in parts(schema()["spec"]) for rule in part.get("x-kubernetes-validations", ())]
    assert len(rules) >= 8
    assert all(rule["message"] for rule in rules)


def test_a_type_that_kubernetes_should_not_see_is_refused() -> None:
    with pytest.raises(TypeError, match="no floats, no maps"):
        schema_of(float, {})
