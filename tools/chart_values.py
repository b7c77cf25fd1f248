"""Writes what follows from the chart's values: `values.schema.json` (with the schema of the configuration in
it) and the table in the chart's README.

    python tools/chart_values.py          # write both
    python tools/chart_values.py --check  # exit code 1 when one is out of date
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.config import json_schema  # noqa: E402 - the checkout's own, whatever is installed

CHART = ROOT / "charts" / "ringline"
BEGIN, END = "<!-- values: made by tools/chart_values.py -->", "<!-- end of values -->"
LIST_OF_MAPS = {"type": "array", "items": {"type": "object"}}
MAP = {"type": "object"}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
TEXT = {"type": "string"}
NAME = {"type": "string", "maxLength": 253, "pattern": "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"}
KEY = {"type": "string", "pattern": "^[-._a-zA-Z0-9]+$"}
SOURCE_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
FLAG = {"type": "boolean"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
MEMORY = {"type": ["string", "integer"], "pattern": "^[0-9]+(Ki|Mi|Gi|k|K|M|G)?$"}
SIZE = {"type": "string", "pattern": "^[0-9]+(Ki|Mi|Gi|k|K|M|G)$"}
# `--set` makes a text of a number with a point.
SHARE = {
    "type": ["number", "string"],
    "exclusiveMinimum": 0,
    "maximum": 1,
    "pattern": "^(1|0?\\.[0-9]*[1-9][0-9]*)$",
}
CPU = {"type": ["string", "number"], "pattern": "^[0-9]+(\\.[0-9]+)?m?$"}


def section(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An object with these keys and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties, **more}


def whole(least: int, most: int, *, null: bool = False) -> dict[str, Any]:
    return {"type": ["integer", "null"] if null else "integer", "minimum": least, "maximum": most}


AMOUNTS = section({"cpu": CPU, "memory": MEMORY, "ephemeral-storage": MEMORY})
RESOURCES = section({"requests": AMOUNTS, "limits": AMOUNTS})
SERVICE = section(
    {"type": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}, "port": PORT, "annotations": TEXTS}
)
PERSISTENCE = section({"size": SIZE, "storageClass": NAME, "annotations": TEXTS})
SLAS = section(
    {
        "lagMs": whole(1, 3_600_000),
        "throttlePerMille": whole(0, 1000),
        "latency": {
            "type": "array",
            "maxItems": 8,
            "items": section(
                {
                    "event": {"type": "string", "pattern": "^[A-Z][A-Z0-9_]*$"},
                    "percentileBasisPoints": whole(100, 9999),
                    "limitMs": whole(1, 3_600_000),
                },
                required=["event", "limitMs"],
            ),
        },
    }
)
PLACEMENT = {
    "nodeSelector": TEXTS,
    "tolerations": LIST_OF_MAPS,
    "affinity": MAP,
    "topologySpreadConstraints": LIST_OF_MAPS,
    "priorityClassName": NAME,
    "podAnnotations": TEXTS,
    "podLabels": TEXTS,
    "extraEnv": LIST_OF_MAPS,
    "extraVolumes": LIST_OF_MAPS,
    "extraVolumeMounts": LIST_OF_MAPS,
}
WORKERS = {
    "preStopSeconds": whole(0, 300),
    "resources": RESOURCES,
    "slas": SLAS,
    **PLACEMENT,
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
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Values of the Ringline chart",
        "$defs": configuration["$defs"],
        **section(
            {
                "global": MAP,
                "nameOverride": NAME,
                "fullnameOverride": NAME,
                "image": section(
                    {
                        "repository": {"type": "string", "minLength": 1},
                        "tag": {"type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"},
                        "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
                        "pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
                    }
                ),
                "imagePullSecrets": {"type": "array", "items": NAME},
                "config": {"$ref": configuration["$ref"]},
                "commonLabels": TEXTS,
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
                    }
                ),
                "collector": section({"resources": RESOURCES}),
                "operator": section(
                    {
                        "enabled": FLAG,
                        "mode": {"enum": ["active", "recommend", "paused"]},
                        "replicaBudget": whole(1, 16_000, null=True),
                        "tuning": MAP,
                        "watchNamespaces": {"type": "array", "items": NAME, "uniqueItems": True},
                        "extraTargets": {"type": "array", "items": NAME},
                        "extraArgs": {"type": "array", "items": TEXT},
                        "port": PORT,
                        "resources": RESOURCES,
                        "upgradeCrds": FLAG,
                        **PLACEMENT,
                    }
                ),
                **PLACEMENT,
                "podSecurityContext": section(
                    {key: whole(1, 2**31 - 1) for key in ("runAsUser", "runAsGroup", "fsGroup")}
                ),
                "serviceAccount": section({"annotations": TEXTS}),
                "networkPolicy": section(
                    {
                        "enabled": FLAG,
                        "gatewayFrom": LIST_OF_MAPS,
                        "feedFrom": LIST_OF_MAPS,
                        "valuationFrom": LIST_OF_MAPS,
                        "metricsFrom": LIST_OF_MAPS,
                    }
                ),
                "podDisruptionBudget": section({"enabled": FLAG, "maxUnavailable": whole(1, 64)}),
                "ingress": section(
                    {
                        "enabled": FLAG,
                        "className": NAME,
                        "annotations": TEXTS,
                        "hosts": {
                            "type": "array",
                            "items": {"type": "string", "minLength": 1},
                            "minItems": 1,
                        },
                        "tls": LIST_OF_MAPS,
                    }
                ),
                "serviceMonitor": section(
                    {
                        "enabled": FLAG,
                        "labels": TEXTS,
                        "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m)$"},
                    }
                ),
                "prometheusRule": section({"enabled": FLAG, "labels": TEXTS}),
                "dashboard": section({"enabled": FLAG, "labels": TEXTS}),
                "linkKeys": section({"enabled": FLAG, **_existing_secret()["properties"]}),
                "loadtest": section(
                    {
                        "enabled": FLAG,
                        "shape": {"enum": ["smoke", "load", "stress", "spike", "soak"]},
                        "timeScale": SHARE,
                        "extraArgs": {"type": "array", "items": TEXT},
                        "resources": RESOURCES,
                    }
                ),
                "tests": section({"timeoutSeconds": whole(1, 3600)}),
            }
        ),
    }


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


def rows() -> Iterator[tuple[str, str, str]]:
    """(key, default, meaning) of every value that a comment `# -- …` stands above."""
    path: list[tuple[int, str]] = []
    meaning: list[str] = []
    speaking = False
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("# -- "):
            meaning, speaking = [text[5:]], True
        elif text.startswith("#") and speaking:
            meaning.append(text[1:].strip())
        elif found := re.match(r"( *)([A-Za-z]+): ?(.*)", line):
            indent, name, default = len(found[1]), found[2], found[3]
            path = [(depth, key) for depth, key in path if depth < indent] + [(indent, name)]
            if speaking:
                yield ".".join(key for _, key in path), default, " ".join(meaning)
            meaning, speaking = [], False
        else:
            meaning, speaking = [], False


def table() -> str:
    """The values as a Markdown table."""
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for key, default, meaning in rows():
        shown = f"`{default}`" if default else "see values.yaml"
        lines.append(f"| `{key}` | {shown} | {meaning} |")
    return "\n".join(lines)


def readme() -> str:
    """The chart's README with the table of now."""
    text = (CHART / "README.md").read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def made() -> dict[Path, str]:
    """Every file that is made, and what should be in it."""
    return {
        CHART / "values.schema.json": json.dumps(values_schema(), indent=1, ensure_ascii=False) + "\n",
        CHART / "README.md": readme(),
    }


def main() -> int:
    stale = [file for file, text in made().items() if not file.exists() or file.read_text() != text]
    if "--check" in sys.argv[1:]:
        for file in stale:
            sys.stderr.write(f"{file.relative_to(ROOT)} is out of date: python tools/chart_values.py\n")
        return 1 if stale else 0
    for file, text in made().items():
        file.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
