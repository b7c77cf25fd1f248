"""The schema of the chart's values: the configuration's, the one of the operator's types, and its own."""

from __future__ import annotations

from typing import Any

from chart_shapes import (
    FLAG,
    KEY,
    LABEL,
    LABELS,
    NAME,
    SOME_NAME,
    SUBDOMAIN,
    TEXT,
    TEXTS,
    a_list,
    ref,
    section,
    shapes,
)

from pipeline import limits
from pipeline.config import json_schema
from pipeline_operator import limits as operator_limits
from pipeline_operator.crd.rules import EXTRAS
from pipeline_operator.crd.schema import schema_of
from pipeline_operator.spec import Slas, Tuning

MAP = {"type": "object"}
HOST = {
    "type": "string",
    "maxLength": 253,
    "pattern": f"^([*][.])?{SUBDOMAIN}$",
}
_PART = "[a-z0-9]+([._-]+[a-z0-9]+)*"
REPOSITORY = {
    "type": "string",
    "maxLength": 255,
    "pattern": f"^([A-Za-z0-9][-A-Za-z0-9.]*(:[0-9]+)?/)?{_PART}(/{_PART})*$",
}
SOURCE_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
MEMORY = {"type": ["string", "integer"], "minimum": 0, "pattern": "^[0-9]{1,15}(Ki|Mi|Gi|k|M|G)?$"}
SIZE = {"type": "string", "pattern": "^[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti|k|M|G|T)$"}
# `--set` makes a text of a number with a point.
SHARE = {
    "type": ["number", "string"],
    "exclusiveMinimum": 0,
    "maximum": 1,
    "pattern": "^(1|0?\\.[0-9]*[1-9][0-9]*)$",
}
CPU = {"type": ["string", "number"], "minimum": 0, "pattern": "^([0-9]{1,6}(\\.[0-9]{1,3})?|[0-9]{1,9}m)$"}


def whole(least: int, most: int, *, null: bool = False) -> dict[str, Any]:
    return {"type": ["integer", "null"] if null else "integer", "minimum": least, "maximum": most}


AMOUNTS = section({"cpu": CPU, "memory": MEMORY, "ephemeral-storage": MEMORY})
RESOURCES = section({"requests": AMOUNTS, "limits": AMOUNTS})
SERVICE = section(
    {"type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, "port": PORT, "annotations": TEXTS}
)
TLS_CONFIG = section(
    {
        "ca": MAP,
        "cert": MAP,
        "keySecret": MAP,
        "serverName": TEXT,
        "insecureSkipVerify": FLAG,
        "minVersion": {"enum": ["TLS10", "TLS11", "TLS12", "TLS13"]},
        "maxVersion": {"enum": ["TLS10", "TLS11", "TLS12", "TLS13"]},
        "caFile": TEXT,
        "certFile": TEXT,
        "keyFile": TEXT,
    }
)
PERSISTENCE = section({"size": SIZE, "storageClass": NAME, "annotations": TEXTS})


def closed(schema: Any) -> Any:
    """A schema of the operator's without what only the API server knows, and with no other keys, which it
    drops without a word."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: closed(one) for name, one in value.items()} if key == "properties" else closed(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes-") and key != "format"
    }
    return found | ({"additionalProperties": False} if "properties" in found else {})


SLAS = closed(schema_of(Slas, EXTRAS))
TUNING = closed(schema_of(Tuning, EXTRAS))
PLACEMENT = {
    "nodeSelector": LABELS,
    "tolerations": a_list(ref("Toleration")),
    "affinity": ref("Affinity"),
    "topologySpreadConstraints": a_list(ref("TopologySpreadConstraint")),
    "priorityClassName": NAME,
    "podAnnotations": TEXTS,
    "podLabels": LABELS,
}
EXTRAS_OF_WORKERS = {
    "extraEnv": a_list(ref("EnvVar")),
    "extraVolumes": a_list(ref("Volume")),
    "extraVolumeMounts": a_list(ref("VolumeMount")),
}
PEERS = a_list(ref("NetworkPolicyPeer"))
WORKERS = {
    "preStopSeconds": whole(0, 300),
    "resources": RESOURCES,
    "slas": SLAS,
    **PLACEMENT,
    **EXTRAS_OF_WORKERS,
}
STAGE = {
    "replicas": whole(1, 64, null=True),
    "workers": whole(1, 16),
    "minReplicas": whole(1, 64),
    "maxReplicas": whole(1, 64),
    **WORKERS,
}


def values_schema() -> dict[str, Any]:
    """The schema of values.yaml."""
    configuration = _without_lookaheads(json_schema())
    _tighten(configuration["$defs"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the Ringline chart",
        "$defs": _joined(configuration["$defs"], shapes()),
        **section(
            {
                "global": MAP,
                "nameOverride": NAME,
                "fullnameOverride": NAME,
                "image": section(
                    {
                        "repository": REPOSITORY,
                        "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
                        "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                    }
                ),
                "imagePullSecrets": a_list(SOME_NAME, uniqueItems=True),
                "config": {"$ref": configuration["$ref"]},
                "ownEvents": {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": limits.MAX_NAME_CHARS},
                },
                "commonLabels": LABELS,
                "commonAnnotations": TEXTS,
                "clusterDomain": NAME,
                "webhookSecrets": section({"existingSecret": NAME}),
                "gateway": section(
                    {
                        "replicas": whole(0, 1000),
                        "service": section(
                            {
                                "type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                                "port": PORT,
                                "nodePort": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
                                "annotations": TEXTS,
                            }
                        ),
                        "persistence": PERSISTENCE,
                        **WORKERS,
                    }
                ),
                "agent": section({**STAGE, "redis": _existing_secret()}),
                "exec": section(STAGE),
                "audit": section(
                    {
                        **STAGE,
                        "postgres": _existing_secret(),
                        "checkpointKey": _existing_secret(),
                        "persistence": PERSISTENCE,
                    }
                ),
                "feed": section(
                    {
                        "enabled": FLAG,
                        "tokens": section({"existingSecret": NAME, "readKey": KEY, "controlKey": KEY}),
                        "controls": section(
                            {"enabled": FLAG, "source": SOURCE_NAME, **_existing_secret()["properties"]}
                        ),
                        "service": SERVICE,
                        "resources": RESOURCES,
                    }
                ),
                "valuation": section(
                    {
                        "enabled": FLAG,
                        "tokens": section({"existingSecret": NAME, "readKey": KEY, "controlKey": KEY}),
                        "store": _existing_secret(),
                        "service": SERVICE,
                        "persistence": PERSISTENCE,
                        "preStopSeconds": whole(0, 300),
                        "resources": RESOURCES,
                        **PLACEMENT,
                        **EXTRAS_OF_WORKERS,
                    }
                ),
                "collector": section({"resources": RESOURCES}),
                "operator": section(
                    {
                        "enabled": FLAG,
                        "mode": {"enum": ["active", "recommend", "paused"]},
                        "replicaBudget": whole(1, operator_limits.MAX_BUDGET, null=True),
                        "tuning": TUNING,
                        "watchNamespaces": {
                            "type": "array",
                            "items": LABEL,
                            "uniqueItems": True,
                            # Its own is watched besides.
                            "maxItems": operator_limits.MAX_NAMESPACES - 1,
                        },
                        "extraTargets": {"type": "array", "items": LABEL},
                        "extraArgs": {"type": "array", "items": TEXT},
                        "port": PORT,
                        "resources": RESOURCES,
                        "upgradeCrds": FLAG,
                        **PLACEMENT,
                    }
                ),
                **PLACEMENT,
                **EXTRAS_OF_WORKERS,
                "podSecurityContext": section(
                    {key: whole(1, 2**31 - 1) for key in ("runAsUser", "runAsGroup", "fsGroup")}
                ),
                "serviceAccount": section({"annotations": TEXTS}),
                "networkPolicy": section(
                    {
                        "enabled": FLAG,
                        "gatewayFrom": PEERS,
                        "feedFrom": PEERS,
                        "valuationFrom": PEERS,
                        "metricsFrom": PEERS,
                    }
                ),
                "podDisruptionBudget": section({"enabled": FLAG, "maxUnavailable": whole(1, 64)}),
                "ingress": section(
                    {
                        "enabled": FLAG,
                        "className": NAME,
                        "annotations": TEXTS,
                        "hosts": a_list(HOST, minItems=1, uniqueItems=True),
                        "tls": a_list(section({"hosts": a_list(HOST), "secretName": NAME})),
                    }
                ),
                "serviceMonitor": section(
                    {
                        "enabled": FLAG,
                        "labels": LABELS,
                        "interval": {"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m)$"},
                        "gatewayTlsConfig": TLS_CONFIG,
                    }
                ),
                "prometheusRule": section({"enabled": FLAG, "labels": LABELS}),
                "dashboard": section({"enabled": FLAG, "labels": LABELS}),
                "linkKeys": section({"enabled": FLAG, **_existing_secret()["properties"]}),
                "loadtest": section(
                    {
                        "enabled": FLAG,
                        "shape": {"enum": ["smoke", "load", "stress", "spike", "soak"]},
                        "timeScale": SHARE,
                        "extraArgs": {"type": "array", "items": TEXT},
                        "persistence": section(
                            {"enabled": FLAG, "existingClaim": NAME, **PERSISTENCE["properties"]}
                        ),
                        "resources": RESOURCES,
                    }
                ),
                "tests": section({"timeoutSeconds": whole(1, 3600)}),
            }
        ),
    }


def _tighten(sections: dict[str, Any]) -> None:
    """What the pipeline checks beyond its schema, as far as one can; `_checks_config.tpl` has the rest."""
    telemetry = sections["Telemetry"]["properties"]
    entries = telemetry["ring_entries"]
    powers = [2**bits for bits in range(64) if entries["minimum"] <= 2**bits <= entries["maximum"]]
    telemetry["ring_entries"] = {"default": entries["default"], "enum": powers}
    telemetry["sla"]["maxProperties"] = limits.MAX_SLA_EVENTS
    telemetry["sla"]["additionalProperties"]["maxProperties"] = limits.MAX_SLA_PERCENTILES


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    assert not first.keys() & second.keys()
    return first | second


def _existing_secret() -> dict[str, Any]:
    return section({"existingSecret": NAME, "key": KEY})


def _without_lookaheads(schema: Any) -> Any:
    """Helm's validator knows RE2, which has none; ours only keep a line break from the end."""
    if isinstance(schema, dict):
        return {
            key: value.replace("(?!\\n)", "") if key == "pattern" else _without_lookaheads(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_without_lookaheads(item) for item in schema]
    return schema
