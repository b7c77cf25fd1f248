"""The whole CustomResourceDefinition, and the YAML of it that the chart ships."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline_operator.crd.rules import EXTRAS
from pipeline_operator.crd.schema import Schema, schema_of
from pipeline_operator.kube.paths import GROUP, PLURAL, VERSION
from pipeline_operator.spec import PipelineSpec
from pipeline_operator.status import PipelineStatus

HEAD = """\
# Written by `ringline-operator crd` from the types of the operator. Do not edit: a test compares both.
"""


def definition() -> dict[str, Any]:
    """The object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": "Pipeline",
                "listKind": "PipelineList",
                "plural": PLURAL,
                "singular": "pipeline",
                "shortNames": ["rpl"],
                "categories": ["ringline"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": COLUMNS,
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def _column(name: str, of: str, path: str, description: str, priority: int = 0) -> Schema:
    found = {"name": name, "type": of, "jsonPath": path, "description": description}
    return found | ({"priority": priority} if priority else {})


COLUMNS = [
    _column("Stages", "integer", ".status.stageCount", "Stages of the pipeline"),
    _column("Replicas", "integer", ".status.replicas", "Replicas of all stages"),
    _column(
        "Ready",
        "string",
        '.status.conditions[?(@.type=="Ready")].status',
        "Every stage has at least its minimum of ready pods",
    ),
    _column("Worst SLA", "string", ".status.worstSla", "The SLA that is nearest to its limit, or above it"),
    _column("Last decision", "string", ".status.lastDecision", "What was changed last, and why"),
    _column("Mode", "string", ".spec.mode", "active, recommend or paused", 1),
    _column("Age", "date", ".metadata.creationTimestamp", "Since when there is this Pipeline"),
]


def _schema() -> Schema:
    return {
        "type": "object",
        "description": "Keeps the stages of a pipeline within their SLAs by the number of their replicas.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": schema_of(PipelineSpec, EXTRAS),
            "status": schema_of(PipelineStatus, EXTRAS),
        },
    }


def as_yaml() -> str:
    """What `charts/ringline/crds/pipelines.yaml` holds."""
    text: str = yaml.safe_dump(definition(), sort_keys=False, width=100, allow_unicode=True)
    return HEAD + text
