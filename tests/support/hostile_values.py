"""Values of the chart, by their dotted names, that somebody may give by mistake and no API server
takes; and what Helm says to them."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]
NEAR = "requiredDuringSchedulingIgnoredDuringExecution"
LIKED = "preferredDuringSchedulingIgnoredDuringExecution"


def volume(**source: Any) -> Values:
    """A volume `more`, from this."""
    return {"extraVolumes": [{"name": "more", **source}]}


def mount(**mount: Any) -> Values:
    """A mount of it."""
    return volume(emptyDir={}) | {"extraVolumeMounts": [{"name": "more", "mountPath": "/more", **mount}]}


def spread(**more: Any) -> dict[str, Any]:
    """A constraint of topology spread."""
    return {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", **more}


def on_nodes(*expressions: dict[str, Any]) -> Values:
    """Nodes that pods may be on."""
    return {
        "affinity": {"nodeAffinity": {NEAR: {"nodeSelectorTerms": [{"matchExpressions": [*expressions]}]}}}
    }


REFUSED: list[tuple[Values, str]] = [
    # labels and annotations of the chart's own
    (
        {"podLabels": {"app.kubernetes.io/instance": "foo"}},
        "podLabels.app.kubernetes.io/instance = foo: the chart sets",
    ),
    (
        {"commonLabels": {"app.kubernetes.io/name": "foo"}},
        "commonLabels.app.kubernetes.io/name = foo: the chart sets",
    ),
    (
        {"agent.podLabels": {"app.kubernetes.io/component": "x"}},
        "agent.podLabels.app.kubernetes.io/component = x: the chart sets this label",
    ),
    (
        {"serviceMonitor.labels": {"helm.sh/chart": "x"}},
        "serviceMonitor.labels.helm.sh/chart = x: the chart sets",
    ),
    (
        {"podAnnotations": {"checksum/config": "x"}},
        "podAnnotations.checksum/config = x: the chart or Helm sets",
    ),
    (
        {"commonAnnotations": {"helm.sh/hook": "test"}},
        "commonAnnotations.helm.sh/hook = test: the chart or Helm",
    ),
    (
        {"podAnnotations": {"container.apparmor.security.beta.kubernetes.io/worker-0": "x"}},
        "the chart's security contexts say this",
    ),
    # texts
    ({"agent.nodeSelector": {"a": True}}, "at '/agent/nodeSelector/a': got boolean, want string"),
    ({"podLabels": {"a": 1}}, "at '/podLabels/a': got number, want string"),
    ({"commonAnnotations": {"a": 1.5}}, "at '/commonAnnotations/a': got number, want string"),
    ({"gateway.service.annotations": {"a": None, "b": []}}, "at '/gateway/service/annotations/b'"),
    ({"nodeSelector": {"a..b/c": "x"}}, "a..b/c"),
    ({"nodeSelector": {"a": "x y"}}, "at '/nodeSelector/a'"),
    ({"priorityClassName": "a..b"}, "at '/priorityClassName'"),
    ({"imagePullSecrets": [""]}, "at '/imagePullSecrets/0'"),
    ({"imagePullSecrets": [{"name": "registry"}]}, "at '/imagePullSecrets/0'"),
    # volumes and mounts
    (
        {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]},
        "extraVolumes[0].name = tmp: the chart has a volume",
    ),
    (
        {"exec.extraVolumes": [{"name": "config", "emptyDir": {}}]},
        "exec.extraVolumes[0].name = config: the chart has a volume of this name",
    ),
    ({"extraVolumes": [{"name": "x", "emptyDir": {}}] * 2}, "extraVolumes[1].name = x: given twice"),
    (
        volume(emptyDir={}) | {"agent.extraVolumes": [{"name": "more", "emptyDir": {}}]},
        "agent.extraVolumes[0].name = more",
    ),
    ({"extraVolumes": [{"name": "A_b", "emptyDir": {}}]}, "at '/extraVolumes/0/name'"),
    ({"extraVolumes": [{"name": "x"}]}, "at '/extraVolumes/0'"),
    (volume(emptyDir={}, configMap={"name": "x"}), "at '/extraVolumes/0'"),
    (volume(emtyDir={}), "emtyDir"),
    (volume(emptyDir={"sizeLimit": "1 GB"}), "at '/extraVolumes/0/emptyDir/sizeLimit'"),
    (volume(secret={"name": "x"}), "at '/extraVolumes/0/secret'"),
    (volume(configMap={"name": "x", "defaultMode": 999}), "at '/extraVolumes/0/configMap/defaultMode'"),
    (
        {"extraVolumeMounts": [{"name": "x", "mountPath": "/x"}]},
        "extraVolumeMounts[0].name = x: no volume of this name",
    ),
    (mount(mountPath="/tmp"), "extraVolumeMounts[0].mountPath = /tmp: the chart mounts /tmp"),
    (mount(mountPath="/data/"), "extraVolumeMounts[0].mountPath = /data/: the chart mounts /data"),
    (mount(mountPath="/"), "extraVolumeMounts[0].mountPath = /: the chart mounts"),
    (mount(mountPath="/etc/ringline"), "extraVolumeMounts[0].mountPath = /etc/ringline: the chart mounts"),
    (mount(mountPath="/etc/ringline/links/x"), "the chart mounts /etc/ringline/links"),
    (mount(mountPath="more"), "at '/extraVolumeMounts/0/mountPath'"),
    (mount(subPath="../x"), "extraVolumeMounts[0].subPath = ../x: stays within the volume"),
    (mount(subPath="a", subPathExpr="b"), "extraVolumeMounts[0].subPath, extraVolumeMounts[0].subPathExpr"),
    (
        mount() | {"agent.extraVolumeMounts": [{"name": "more", "mountPath": "/more/"}]},
        "agent.extraVolumeMounts[0].mountPath = /more/: given twice",
    ),
    # variables
    (
        {"extraEnv": [{"name": "POD_NAME", "value": "x"}]},
        "extraEnv[0].name = POD_NAME: the chart sets this variable",
    ),
    (
        {"audit.extraEnv": [{"name": "RINGLINE_AUDIT_DSN", "value": "x"}]},
        "audit.extraEnv[0].name = RINGLINE_AUDIT_DSN",
    ),
    ({"extraEnv": [{"name": "A", "value": "x"}] * 2}, "extraEnv[1].name = A: given twice"),
    ({"extraEnv": [{"name": "1 A", "value": "x"}]}, "at '/extraEnv/0/name'"),
    ({"extraEnv": [{"name": "A", "value": 5}]}, "at '/extraEnv/0/value': got number, want string"),
    ({"extraEnv": [{"value": "x"}]}, "at '/extraEnv/0': missing property 'name'"),
    (
        {
            "extraEnv": [
                {"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
            ]
        },
        "extraEnv[0].value, extraEnv[0].valueFrom: one of them says what A is",
    ),
    ({"extraEnv": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]}, "fieldPath"),
    ({"extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x"}}}]}, "missing property 'key'"),
    ({"operator.extraEnv": [{"name": "A", "value": "x"}]}, "'extraEnv' not allowed"),
    # placement
    (
        {"topologySpreadConstraints": [{"maxSkew": 1}]},
        "at '/topologySpreadConstraints/0': missing properties",
    ),
    ({"topologySpreadConstraints": [spread(maxSkew=0)]}, "at '/topologySpreadConstraints/0/maxSkew'"),
    (
        {"topologySpreadConstraints": [spread(), spread(maxSkew=2)]},
        "topologySpreadConstraints[1] = zone, DoNotSchedule",
    ),
    (
        {"agent.topologySpreadConstraints": [spread(whenUnsatisfiable="ScheduleAnyway", minDomains=2)]},
        "agent.topologySpreadConstraints[0].minDomains = 2: is for whenUnsatisfiable DoNotSchedule alone",
    ),
    (
        {"topologySpreadConstraints": [spread(matchLabelKeys=["app.kubernetes.io/name"])]},
        "app.kubernetes.io/name is in the labelSelector already",
    ),
    ({"affinity": {"foo": 1}}, "at '/affinity': additional properties 'foo' not allowed"),
    ({"affinity": {"nodeAffinity": {NEAR: {"nodeSelectorTerms": []}}}}, "nodeSelectorTerms"),
    (on_nodes({"key": "a", "operator": "In"}), "matchExpressions/0"),
    (on_nodes({"key": "a", "operator": "Exists", "values": ["x"]}), "matchExpressions/0"),
    (on_nodes({"key": "a", "operator": "Gt", "values": ["x"]}), "matchExpressions/0"),
    ({"affinity": {"podAntiAffinity": {NEAR: [{"labelSelector": {}}]}}}, "missing property 'topologyKey'"),
    (
        {"affinity": {"podAffinity": {LIKED: [{"weight": 0, "podAffinityTerm": {"topologyKey": "a"}}]}}},
        "weight",
    ),
    ({"tolerations": [{"foo": 1}]}, "at '/tolerations/0': additional properties 'foo' not allowed"),
    ({"tolerations": [{"effect": "NoExecute"}]}, "tolerations[0].key: without one the operator is Exists"),
    (
        {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
        "tolerations[0].value = b: operator Exists",
    ),
    ({"tolerations": [{"key": "a", "effect": "NoWhere"}]}, "at '/tolerations/0/effect'"),
    (
        {"operator.tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 5}]},
        "operator.tolerations[0].tolerationSeconds = 5: is for effect NoExecute alone",
    ),
    # quantities
    ({"agent.resources.requests.cpu": -1}, "at '/agent/resources/requests/cpu'"),
    ({"agent.resources.limits.memory": "256K"}, "at '/agent/resources/limits/memory'"),
    ({"agent.resources.limits.memory": -5}, "at '/agent/resources/limits/memory'"),
    ({"agent.resources.limits": {"gpu": 1}}, "additional properties 'gpu' not allowed"),
    ({"agent.resources.limits.memory": "9" * 30}, "at '/agent/resources/limits/memory'"),
    ({"audit.persistence.size": "0Gi"}, "at '/audit/persistence/size'"),
    ({"podSecurityContext.foo": 1}, "'foo' not allowed"),
    # services, ingress, policies
    ({"gateway.service.type": "ExternalName"}, "at '/gateway/service/type'"),
    ({"gateway.service.port": 70_000}, "at '/gateway/service/port'"),
    ({"podDisruptionBudget.minAvailable": 1}, "'minAvailable' not allowed"),
    (
        {"ingress.enabled": True, "ingress.hosts": ["10.0.0.1"]},
        "ingress.hosts[0] = 10.0.0.1: a name is expected",
    ),
    ({"ingress.enabled": True, "ingress.hosts": ["a", "a"]}, "at '/ingress/hosts'"),
    ({"ingress.enabled": True, "ingress.tls": [{"secret": "x"}]}, "at '/ingress/tls/0'"),
    (
        {
            "ingress.enabled": True,
            "ingress.className": "a",
            "ingress.annotations": {"kubernetes.io/ingress.class": "b"},
        },
        "ingress.annotations.kubernetes.io/ingress.class = b: not beside ingress.className",
    ),
    ({"networkPolicy.gatewayFrom": [{}]}, "at '/networkPolicy/gatewayFrom/0'"),
    (
        {"networkPolicy.gatewayFrom": [{"ipBlock": {"cidr": "10.0.0.0"}}]},
        "at '/networkPolicy/gatewayFrom/0/ipBlock",
    ),
    (
        {"networkPolicy.metricsFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]},
        "networkPolicy.metricsFrom[0].ipBlock: not beside podSelector or namespaceSelector",
    ),
    # keys of secrets
    ({"linkKeys.key": ".."}, "at '/linkKeys/key'"),
    (
        {"valuation.enabled": True, "valuation.tokens.readKey": "control.token"},
        "valuation.tokens.readKey = control.token",
    ),
]
