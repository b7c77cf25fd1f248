"""What is left of a release after its uninstall, asked of the API server for every kind that it knows."""

from __future__ import annotations

import json
import re
from typing import Any

from chart_release import CHART, NAME, Release, run

MADE_BY_THE_CLUSTER = frozenset({"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"})
PASSING = ("events", "endpoints", "endpointslices", "pods", "controllerrevisions")
"""They follow what they are about: events end by themselves, the others with their owners."""
CLUSTER_WIDE = (
    "clusterroles", "clusterrolebindings", "customresourcedefinitions", "priorityclasses",
    "validatingwebhookconfigurations", "mutatingwebhookconfigurations", "namespaces", "storageclasses",
)  # fmt: skip
FULLNAME = f"{NAME}-ringline"


def left_behind(release: Release) -> set[str]:
    """`Kind/name` of everything in the release's namespace, and of the chart's in the whole cluster."""
    kinds = run("kubectl", "api-resources", "--namespaced", "--verbs=list,get", "--output=name").split()
    asked = [kind for kind in kinds if kind.partition(".")[0] not in PASSING and "metrics.k8s.io" not in kind]
    own = _named(release.get(",".join(asked))["items"])
    everywhere = json.loads(run("kubectl", "get", ",".join(CLUSTER_WIDE), "--output=json"))["items"]
    ours = [
        one
        for one in everywhere
        if one["kind"] != "Namespace"
        and (release.namespace in one["metadata"]["name"] or one["metadata"]["name"].endswith("ringline.dev"))
    ]
    return (own - MADE_BY_THE_CLUSTER) | _named(ours)


def documented() -> set[str]:
    """`Kind/name` of what the chart's README says that an uninstall may leave, by this release's names."""
    return {
        f"{kind}/{name if kind == 'CustomResourceDefinition' else _of_release(name)}"
        for kind, name in re.findall(r"`([A-Z]\w+)/([-.\w]+)`", _section())
    }


def commands() -> list[list[str]]:
    """The README's commands that remove it in the release's namespace, as words."""
    lines = [line.strip() for line in _section().splitlines() if line.startswith("    kubectl delete ")]
    told = [
        [_of_release(word) for word in line.replace("instance=ringline", f"instance={NAME}").split()[1:]]
        for line in lines
    ]
    return [words for words in told if words[1] in ("pvc,secret", "lease")]


def _of_release(name: str) -> str:
    """Of a release `ringline`, whose objects bear that name, to this one; the operator's name stays."""
    return re.sub(r"(?<!=)ringline(?!-operator|\.)", FULLNAME, name, count=1)


def _section() -> str:
    text = (CHART / "README.md").read_text()
    return text.partition("## What an uninstall leaves")[2].partition("\n## ")[0]


def _named(objects: list[dict[str, Any]]) -> set[str]:
    return {f"{one['kind']}/{one['metadata']['name']}" for one in objects}
