"""Values of the chart, by their dotted names, that look like mistakes and are none."""

from __future__ import annotations

from hostile_values import LIKED, NEAR, Values, mount, on_nodes, spread, volume

PLACES = ("gateway", "agent", "exec", "audit", "valuation")
ON: Values = {"valuation.enabled": True, "loadtest.enabled": True, "loadtest.persistence.enabled": True}
"""Every pod that there may be."""


TAKEN: list[Values] = [
    # texts that YAML would take for something else
    *({"priorityClassName": text} for text in ("123", "1e3", "true", "null", "0x1f")),
    *({"imagePullSecrets": [text]} for text in ("123", "no")),
    *({"podLabels": {"a": text}, "nodeSelector": {"true": text}} for text in ("", "123", "true", "1.5")),
    {"commonAnnotations": {"a": "- b: *c", "d": "{{ . }}", "e": "x\ny"}},
    {"nameOverride": "123", "fullnameOverride": "true"},
    {"fullnameOverride": "null"},
    {
        "webhookSecrets.existingSecret": "123",
        "linkKeys.existingSecret": "0",
        "feed.tokens.existingSecret": "1e3",
    },
    {"linkKeys.key": "123", "feed.tokens.readKey": "true", "feed.tokens.controlKey": "null"},
    {"feed.controls.enabled": True, "feed.controls.source": "123", "feed.controls.key": "1.0"},
    {"config.sources": {"123": {}, "1.0": {}, "true": {}}},
    {"image.repository": "123", "image.tag": "45"},
    {"image.repository": "localhost:5000/a", "image.tag": "1e3"},
    {"gateway.persistence.storageClass": "123", "audit.persistence.storageClass": "true"},
    {"ingress.enabled": True, "ingress.hosts": ["*.example.com", "true", "1e3"], "ingress.className": "123"},
    {"ingress.enabled": True, "ingress.tls": [{"hosts": ["*.example.com"], "secretName": "0"}, {}]},
    # the same label in two places
    {"commonLabels": {"team": "a"}, "podLabels": {"team": "b"}, "agent.podLabels": {"team": "c"}},
    {"commonLabels": {"team": "a"}, "dashboard.enabled": True, "dashboard.labels": {"team": "b"}},
    # placement with all that there is
    {
        "topologySpreadConstraints": [
            spread(
                minDomains=2,
                labelSelector={"matchLabels": {"a": "b"}},
                nodeAffinityPolicy="Ignore",
                nodeTaintsPolicy="Honor",
                matchLabelKeys=["c"],
            ),
            spread(whenUnsatisfiable="ScheduleAnyway"),
            spread(topologyKey="other"),
        ]
    },
    on_nodes(
        {"key": "a", "operator": "Gt", "values": ["5"]},
        {"key": "b", "operator": "In", "values": ["", "c"]},
        {"key": "d", "operator": "Exists"},
    ),
    {
        "affinity": {
            "nodeAffinity": {
                LIKED: [
                    {
                        "weight": 1,
                        "preference": {
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node"]}]
                        },
                    }
                ]
            }
        }
    },
    {
        "affinity": {
            "podAntiAffinity": {
                NEAR: [
                    {
                        "topologyKey": "zone",
                        "labelSelector": {"matchLabels": {"a": "b"}},
                        "namespaces": ["other"],
                    }
                ],
                LIKED: [
                    {
                        "weight": 100,
                        "podAffinityTerm": {
                            "topologyKey": "zone",
                            "namespaceSelector": {},
                            "labelSelector": {},
                            "matchLabelKeys": ["c"],
                        },
                    }
                ],
            }
        }
    },
    {"affinity": {"podAffinity": {NEAR: [{"topologyKey": "zone"}]}}},
    {"affinity": {"nodeAffinity": {NEAR: {"nodeSelectorTerms": [{}]}}, "podAffinity": {}}},
    {
        "tolerations": [
            {"operator": "Exists"},
            {"key": "a"},
            {"key": "", "operator": "Exists", "effect": ""},
            {"key": "a", "value": "", "effect": "NoExecute", "tolerationSeconds": -1},
        ]
    },
    # volumes, mounts and variables
    *(
        volume(**source)
        | {"extraVolumeMounts": [{"name": "more", "mountPath": "/data/more", "subPath": "a..b"}]}
        for source in (
            {
                "secret": {
                    "secretName": "x",
                    "defaultMode": 0o440,
                    "items": [{"key": "a", "path": "b/c", "mode": 0}],
                }
            },
            {"configMap": {"name": "123", "optional": True}},
            {"emptyDir": {"medium": "Memory", "sizeLimit": "1.5Gi"}},
            {"emptyDir": {"sizeLimit": 1_000_000}},
            {"persistentVolumeClaim": {"claimName": "x", "readOnly": True}},
            {"hostPath": {"path": "/var", "type": "Directory"}},
            {"nfs": {"server": "nfs.example.com", "path": "/x"}},
            {
                "csi": {
                    "driver": "csi.example.com",
                    "volumeAttributes": {"a": "true"},
                    "nodePublishSecretRef": {"name": "x"},
                }
            },
            {
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                        }
                    }
                }
            },
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a']"}}]}},
            {
                "projected": {
                    "sources": [
                        {"secret": {"name": "x"}},
                        {"configMap": {"name": "y"}},
                        {"serviceAccountToken": {"path": "t", "expirationSeconds": 600}},
                    ]
                }
            },
            {"image": {"reference": "models:1"}},
        )
    ),
    mount(
        mountPath="/var/more/", readOnly=True, mountPropagation="HostToContainer", subPathExpr="$(POD_NAME)"
    ),
    {f"{place}.extraVolumes": [{"name": "own", "emptyDir": {}}] for place in PLACES}
    | {f"{place}.extraVolumeMounts": [{"name": "own", "mountPath": "/own"}] for place in PLACES},
    {
        "extraEnv": [
            {"name": "A"},
            {"name": "B", "value": ""},
            {"name": "C", "value": "true"},
            {"name": "_D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['a.b/c']"}}},
            {"name": "E", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1"}}},
            {"name": "F", "value": "", "valueFrom": {"secretKeyRef": {"name": "1", "key": "2"}}},
        ]
    },
    # figures
    {
        "agent.resources": {
            "requests": {"cpu": 0, "memory": 0},
            "limits": {"cpu": "0.001", "memory": 268435456},
        }
    },
    {"agent.resources": {"requests": {"cpu": "0.1", "ephemeral-storage": "1Gi"}}},
    {"operator.resources": {"limits": {"memory": 268435456, "cpu": 1.5}}, "collector.resources": {}},
    {"agent.resources.requests.cpu": 0.0001},
    {"gateway.preStopSeconds": 0, "config.supervisor.drain_s": 300},
    {"agent.workers": 16, "exec.workers": 16},
    {"operator.replicaBudget": 16_000, "agent.maxReplicas": 64},
    {"podSecurityContext": {"runAsUser": 2**31 - 1, "runAsGroup": 1, "fsGroup": 1_000_660_000}},
    # services, ingress, policies
    {
        "gateway.service.type": "LoadBalancer",
        "feed.service.type": "NodePort",
        "gateway.service.nodePort": 30801,
    },
    {"gateway.service.port": 1, "feed.service.port": 65535, "operator.port": 1},
    {
        "ingress.enabled": True,
        "ingress.hosts": ["a" * 63 + ".example"],
        "ingress.annotations": {"kubernetes.io/ingress.class": "b"},
    },
    {
        "networkPolicy.gatewayFrom": [
            {"ipBlock": {"cidr": "0.0.0.0/0"}},
            {"ipBlock": {"cidr": "::/0"}},
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            {"namespaceSelector": {}, "podSelector": {}},
        ]
    },
    {"networkPolicy.metricsFrom": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]},
    {
        "operator.extraArgs": ["123", "true"],
        "loadtest.extraArgs": ["--x=- y"],
        "operator.extraTargets": ["a", "a"],
    },
    {
        "podAnnotations": {"a": "b"},
        "operator.podAnnotations": {"a": "c"},
        "operator.podLabels": {"d": "true"},
    },
    {"serviceAccount.annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
]
"""Odd, and all right."""
