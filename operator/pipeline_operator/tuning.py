"""Changed settings on a command line: `--set KEY=VALUE` on a tuning or on a whole spec."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from pipeline_operator.errors import SpecError
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.spec import PipelineSpec, StageSpec, Tuning

_EXAMPLE = "expected KEY=VALUE, such as tuning.drainMs=5000 or stages.agent.maxReplicas=20"


def with_tuning(assignments: Iterable[str]) -> Tuning:
    """The default tuning, changed; keys with or without `tuning.` before them. Raises SpecError."""
    one = PipelineSpec(stages=(StageSpec(name="stage", target="stage"),))
    paths = [text if text.startswith("tuning.") else f"tuning.{text}" for text in assignments]
    return with_settings(one, paths).tuning


def with_settings(spec: PipelineSpec, assignments: Iterable[str]) -> PipelineSpec:
    """A spec with single fields changed: dotted paths in camel case, stages by name. Raises SpecError."""
    tree = msgspec.to_builtins(spec)
    faults = [fault for text in assignments if (fault := _assign(tree, text))]
    if faults:
        raise SpecError(faults)
    return parse_spec({"spec": json.loads(msgspec.json.encode(tree))})


def _assign(tree: dict[str, Any], text: str) -> str:
    """The fault, if any."""
    path, equals, raw = text.partition("=")
    if not equals or not path:
        return f"--set {text!r}: {_EXAMPLE}"
    *parents, last = path.strip().split(".")
    node: Any = tree
    for name in parents:
        node = _child(node, name)
        if not isinstance(node, (dict, list, tuple)):
            return f"--set {path}: there is no {name} here; {_EXAMPLE}"
    if not isinstance(node, dict):
        return f"--set {path}: {_EXAMPLE}"
    try:
        node[last] = json.loads(raw)
    except ValueError:
        node[last] = raw
    return ""


def _child(node: Any, name: str) -> Any:
    if isinstance(node, dict):
        return node.get(name)
    return next((item for item in node if isinstance(item, dict) and item.get("name") == name), None)
