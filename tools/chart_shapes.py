"""What Kubernetes takes of pods, as schemas: it refuses other shapes when some objects are made already.

A key that it would not know is one misspelt. What holds between fields is in `_checks_pods.tpl`.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_WORD = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
SUBDOMAIN = f"{_WORD}([.]{_WORD})*"
_LABEL_VALUE = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
QUALIFIED: Schema = {
    "type": "string",
    "maxLength": 253,
    "pattern": f"^({SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
}
LABEL_VALUE: Schema = {"type": "string", "maxLength": 63, "pattern": f"^({_LABEL_VALUE})?$"}
LABELS: Schema = {"type": "object", "propertyNames": QUALIFIED, "additionalProperties": LABEL_VALUE}
TEXTS: Schema = {"type": "object", "propertyNames": QUALIFIED, "additionalProperties": {"type": "string"}}
LABEL: Schema = {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"}
NAME: Schema = {"type": "string", "maxLength": 253, "pattern": f"^({SUBDOMAIN})?$"}
SOME_NAME: Schema = {"type": "string", "maxLength": 253, "pattern": f"^{SUBDOMAIN}$"}
# A file's name in a volume: `.` and what begins with `..` cannot be one.
KEY: Schema = {
    "type": "string",
    "maxLength": 253,
    "pattern": "^([-_a-zA-Z0-9]|[.][-_a-zA-Z0-9])[-._a-zA-Z0-9]*$",
}
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
QUANTITY: Schema = {
    "type": ["string", "integer"],
    "minimum": 0,
    "pattern": "^[0-9]{1,15}([.][0-9]{1,3})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
}
_MODE: Schema = {"type": "integer", "minimum": 0, "maximum": 0o777}
_RELATIVE: Schema = {"type": "string", "maxLength": 4096, "pattern": "^[^/:]"}
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
CIDR: Schema = {
    "type": "string",
    "pattern": f"^({_OCTET}([.]{_OCTET}){{3}}/(3[0-2]|[12]?[0-9])"
    "|[0-9a-f:]*:[0-9a-f:]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$",
}


def section(properties: Schema, *required: str, **more: Any) -> Schema:
    """An object with these keys and no others."""
    found: Schema = {"type": "object", "additionalProperties": False, "properties": properties, **more}
    return found | ({"required": list(required)} if required else {})


def a_list(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


def ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _requirement(*more: tuple[list[str], Schema]) -> Schema:
    """A key, an operator, and as many values as it takes."""
    several = a_list(LABEL_VALUE, minItems=1)
    takes = [(["In", "NotIn"], several), (["Exists", "DoesNotExist"], a_list(TEXT, maxItems=0)), *more]
    return section(
        {
            "key": QUALIFIED,
            "operator": {"enum": [name for names, _ in takes for name in names]},
            "values": a_list(TEXT),
        },
        "key",
        "operator",
        anyOf=[
            {
                "properties": {"operator": {"enum": names}, "values": values},
                **({"required": ["values"]} if values.get("minItems") else {}),
            }
            for names, values in takes
        ],
    )


def _source_of_env() -> Schema:
    """Where a variable's value is from: one of these."""
    key_of = section({"name": SOME_NAME, "key": KEY, "optional": FLAG}, "name", "key")
    field = "metadata[.](name|namespace|uid)|spec[.](nodeName|serviceAccountName)|status[.](hostIPs?|podIPs?)"
    of_a_map = f"metadata[.](labels|annotations)\\['({SUBDOMAIN}/)?{_LABEL_VALUE}'\\]"
    return section(
        {
            "fieldRef": section(
                {
                    "apiVersion": {"enum": ["v1"]},
                    "fieldPath": {"type": "string", "pattern": f"^({field}|{of_a_map})$"},
                },
                "fieldPath",
            ),
            "resourceFieldRef": section(
                {
                    "containerName": LABEL,
                    "resource": {
                        "enum": [f"{a}.{b}" for a in ("limits", "requests") for b in ("cpu", "memory")]
                    },
                    "divisor": {"enum": ["1", 1]},
                },
                "resource",
            ),
            "configMapKeyRef": key_of,
            "secretKeyRef": key_of,
        },
        minProperties=1,
        maxProperties=1,
    )


def _volume() -> Schema:
    """A name and one source; those of block devices are taken as they are."""
    items = a_list(section({"key": KEY, "path": _RELATIVE, "mode": _MODE}, "key", "path"))
    files = {"items": items, "optional": FLAG}
    down = section(
        {
            "path": _RELATIVE,
            "mode": _MODE,
            "fieldRef": _source_of_env()["properties"]["fieldRef"],
            "resourceFieldRef": {"type": "object"},
        },
        "path",
    )
    token = section(
        {"path": _RELATIVE, "audience": TEXT, "expirationSeconds": {"type": "integer", "minimum": 600}},
        "path",
    )
    projected = section(
        {
            "configMap": section({"name": SOME_NAME, **files}, "name"),
            "secret": section({"name": SOME_NAME, **files}, "name"),
            "downwardAPI": section({"items": a_list(down)}),
            "serviceAccountToken": token,
            "clusterTrustBundle": {"type": "object"},
            "podCertificate": {"type": "object"},
        },
        minProperties=1,
        maxProperties=1,
    )
    sources = {
        "configMap": section({"name": SOME_NAME, "defaultMode": _MODE, **files}, "name"),
        "secret": section({"secretName": SOME_NAME, "defaultMode": _MODE, **files}, "secretName"),
        "emptyDir": section(
            {
                "medium": {"type": "string", "pattern": "^(|Memory|HugePages(-[0-9]+[KMG]i)?)$"},
                "sizeLimit": QUANTITY,
            }
        ),
        "persistentVolumeClaim": section({"claimName": SOME_NAME, "readOnly": FLAG}, "claimName"),
        "hostPath": section(
            {
                "path": {"type": "string", "pattern": "^/"},
                "type": {
                    "enum": [
                        "", "DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice",
                        "BlockDevice",
                    ]
                },
            },
            "path",
        ),
        "projected": section({"defaultMode": _MODE, "sources": a_list(projected)}, "sources"),
        "downwardAPI": section({"defaultMode": _MODE, "items": a_list(down)}),
        "csi": section(
            {
                "driver": SOME_NAME,
                "readOnly": FLAG,
                "fsType": TEXT,
                "volumeAttributes": {"type": "object", "additionalProperties": TEXT},
                "nodePublishSecretRef": section({"name": SOME_NAME}, "name"),
            },
            "driver",
        ),
        "nfs": section(
            {
                "server": {"type": "string", "minLength": 1},
                "path": {"type": "string", "pattern": "^/"},
                "readOnly": FLAG,
            },
            "server",
            "path",
        ),
        "ephemeral": section({"volumeClaimTemplate": _claim()}, "volumeClaimTemplate"),
        "image": section(
            {
                "reference": {"type": "string", "minLength": 1},
                "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
            },
            "reference",
        ),
    }  # fmt: skip
    others = ("fc", "iscsi")
    return section(
        {"name": LABEL, **sources, **{name: {"type": "object"} for name in others}},
        "name",
        minProperties=2,
        maxProperties=2,
    )


def _claim() -> Schema:
    modes = {"enum": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]}
    room = section({"requests": section({"storage": QUANTITY}, "storage")}, "requests")
    return section(
        {
            "metadata": section({"labels": LABELS, "annotations": TEXTS}),
            "spec": section(
                {
                    "accessModes": a_list(modes, minItems=1, maxItems=1),
                    "resources": room,
                    "storageClassName": SOME_NAME,
                    "volumeMode": {"enum": ["Filesystem"]},
                },
                "accessModes",
                "resources",
            ),
        },
        "spec",
    )


def shapes() -> Schema:
    """Name → schema, for `$defs`."""
    own = _requirement()
    number = a_list({"type": "string", "pattern": "^-?[0-9]{1,18}$"}, minItems=1, maxItems=1)
    of_a_node = _requirement((["Gt", "Lt"], number))
    one_name = section(
        {
            "key": {"enum": ["metadata.name"]},
            "operator": {"enum": ["In", "NotIn"]},
            "values": a_list(SOME_NAME, minItems=1, maxItems=1),
        },
        "key",
        "operator",
        "values",
    )
    weight = {"type": "integer", "minimum": 1, "maximum": 100}
    required, preferred = (
        f"{word}DuringSchedulingIgnoredDuringExecution" for word in ("required", "preferred")
    )
    near = section(
        {
            required: a_list(ref("PodAffinityTerm")),
            preferred: a_list(
                section(
                    {"weight": weight, "podAffinityTerm": ref("PodAffinityTerm")}, "weight", "podAffinityTerm"
                )
            ),
        }
    )
    policy = {"enum": ["Honor", "Ignore"]}
    return {
        "LabelSelector": section({"matchLabels": LABELS, "matchExpressions": a_list(own)}),
        "NodeSelectorTerm": section({"matchExpressions": a_list(of_a_node), "matchFields": a_list(one_name)}),
        "PodAffinityTerm": section(
            {
                "labelSelector": ref("LabelSelector"),
                "namespaceSelector": ref("LabelSelector"),
                "namespaces": a_list(LABEL),
                "topologyKey": QUALIFIED,
                "matchLabelKeys": a_list(QUALIFIED),
                "mismatchLabelKeys": a_list(QUALIFIED),
            },
            "topologyKey",
            dependentRequired={"matchLabelKeys": ["labelSelector"], "mismatchLabelKeys": ["labelSelector"]},
        ),
        "PodAffinity": near,
        "Affinity": section(
            {
                "nodeAffinity": section(
                    {
                        required: section(
                            {"nodeSelectorTerms": a_list(ref("NodeSelectorTerm"), minItems=1)},
                            "nodeSelectorTerms",
                        ),
                        preferred: a_list(
                            section(
                                {"weight": weight, "preference": ref("NodeSelectorTerm")},
                                "weight",
                                "preference",
                            )
                        ),
                    }
                ),
                "podAffinity": ref("PodAffinity"),
                "podAntiAffinity": ref("PodAffinity"),
            }
        ),
        "Toleration": section(
            {
                "key": {"anyOf": [QUALIFIED, {"const": ""}]},
                "operator": {"enum": ["Exists", "Equal"]},
                "value": LABEL_VALUE,
                "effect": {"enum": ["", "NoSchedule", "PreferNoSchedule", "NoExecute"]},
                "tolerationSeconds": {"type": "integer"},
            }
        ),
        "TopologySpreadConstraint": section(
            {
                "maxSkew": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
                "minDomains": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1},
                "topologyKey": QUALIFIED,
                "whenUnsatisfiable": {"enum": ["DoNotSchedule", "ScheduleAnyway"]},
                "labelSelector": ref("LabelSelector"),
                "matchLabelKeys": a_list(QUALIFIED, uniqueItems=True),
                "nodeAffinityPolicy": policy,
                "nodeTaintsPolicy": policy,
            },
            "maxSkew",
            "topologyKey",
            "whenUnsatisfiable",
        ),
        "EnvVar": section(
            {
                "name": {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
                "value": TEXT,
                "valueFrom": _source_of_env(),
            },
            "name",
        ),
        "Volume": _volume(),
        "VolumeMount": section(
            {
                "name": LABEL,
                "mountPath": {"type": "string", "pattern": "^/[^:]*$"},
                "subPath": _RELATIVE,
                "subPathExpr": _RELATIVE,
                "readOnly": FLAG,
                "mountPropagation": {"enum": ["None", "HostToContainer"]},
            },
            "name",
            "mountPath",
        ),
        "NetworkPolicyPeer": section(
            {
                "podSelector": ref("LabelSelector"),
                "namespaceSelector": ref("LabelSelector"),
                "ipBlock": section({"cidr": CIDR, "except": a_list(CIDR)}, "cidr"),
            },
            minProperties=1,
        ),
    }
