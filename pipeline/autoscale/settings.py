"""What the embedded autoscaler is asked for: a Pipeline as the operator takes it, or one made of the
configuration.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from pipeline import limits
from pipeline.config import Config, resolve
from pipeline.errors import ConfigError, MissingError, UsageError
from pipeline_operator.errors import SpecError
from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.spec import PipelineSpec, Slas, StageSpec, Tuning

STAGES = ("gateway", "agent", "exec", "audit")
SCALED = ("agent", "exec")
"""The gateway is one, and an audit in SQLite has one writer."""
_RANGE = re.compile(r"(?P<stage>[a-z]+)=(?P<least>\d{1,3})\.\.(?P<most>\d{1,3})")


class Bounds(NamedTuple):
    least: int
    most: int


def parse_bounds(texts: Iterable[str]) -> dict[str, Bounds]:
    """`exec=1..8`, by stage. Raises UsageError."""
    found = {}
    for text in texts:
        match = _RANGE.fullmatch(text)
        if match is None or match["stage"] not in SCALED:
            raise UsageError(
                f"--replicas {text!r}: expected STAGE=LEAST..MOST, such as exec=1..8, for "
                f"{' or '.join(SCALED)}"
            )
        least, most = int(match["least"]), int(match["most"])
        if not 1 <= least <= most <= limits.MAX_WORKERS:
            raise UsageError(f"--replicas {text!r}: allowed: 1 ≤ LEAST ≤ MOST ≤ {limits.MAX_WORKERS}")
        found[match["stage"]] = Bounds(least, most)
    return found


def make_spec(config: Config, bounds: Mapping[str, Bounds], policy: Path | None) -> PipelineSpec:
    """The spec to follow. Raises ConfigError, MissingError or UsageError."""
    spec = _read(policy) if policy is not None else _default(config)
    return replace(spec, stages=tuple(_bounded(stage, config, bounds) for stage in spec.stages))


def scaled_config(config: Config, spec: PipelineSpec) -> Config:
    """The configuration under which agents and execs may come and go within the spec's bounds: it starts with
    the least. Raises ConfigError for bounds that the configuration cannot bear."""
    tree = msgspec.to_builtins(config)
    for stage in spec.stages:
        if stage.name in SCALED:
            tree[stage.name] |= {
                "members": "listed",
                "workers": stage.min_replicas,
                "max_replicas": stage.max_replicas,
            }
    return resolve(tree)


def sketches(spec: PipelineSpec) -> str:
    """The events whose buckets the collector is to hand out, for latency SLAs."""
    return ",".join(sorted({sla.event for stage in spec.stages for sla in stage.slas.latency}))


def _default(config: Config) -> PipelineSpec:
    """A lag of a second for each stage that has one. Workers start within seconds, not minutes."""
    most = max(limits.AUTOSCALE_MOST, len(os.sched_getaffinity(0)))
    stages = []
    upstream: tuple[str, ...] = ()
    for name in STAGES:
        least = 1 if name == "gateway" else getattr(config, name).workers
        # Throttles that count over symbols are in the memory of one agent.
        alone = name == "agent" and config.agent.scopes == "memory" and _is_wide(config)
        stages.append(
            StageSpec(
                name=name,
                target=name,
                upstream=upstream,
                min_replicas=least,
                max_replicas=least if name not in SCALED or alone else max(most, least),
                slas=Slas(lag_ms=limits.AUTOSCALE_LAG_MS) if upstream else Slas(),
            )
        )
        upstream = (name,)
    return PipelineSpec(stages=tuple(stages), tuning=Tuning(start_ms=limits.AUTOSCALE_START_MS))


def _is_wide(config: Config) -> bool:
    return any(throttle.over_symbols for throttle in config.trading.throttles)


def _read(file: Path) -> PipelineSpec:
    """A Pipeline as JSON or TOML: the whole object or its `spec`; `target` may be left out."""
    try:
        text = file.read_text(encoding="utf-8")
        found: Any = tomllib.loads(text) if file.suffix == ".toml" else msgspec.json.decode(text)
    except OSError as error:
        raise MissingError(f"--policy {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"--policy {file}: {error}"]) from None
    body = found if isinstance(found, dict) and "spec" in found else {"spec": found}
    stages = body["spec"].get("stages") if isinstance(body["spec"], dict) else None
    for stage in stages if isinstance(stages, list) else ():
        if isinstance(stage, dict) and isinstance(stage.get("name"), str):
            stage.setdefault("target", stage["name"])
    try:
        spec = parse_spec(body)
    except SpecError as error:
        raise ConfigError([f"--policy {file}: {line}" for line in str(error).splitlines()]) from None
    faults = [
        f"--policy {file}: spec.stages[{stage.name}]: no stage of a pipeline; here are {', '.join(STAGES)}"
        for stage in spec.stages
        if stage.name not in STAGES
    ]
    if faults:
        raise ConfigError(faults)
    return spec


def _bounded(stage: StageSpec, config: Config, bounds: Mapping[str, Bounds]) -> StageSpec:
    if stage.name in bounds:
        return replace(stage, min_replicas=bounds[stage.name].least, max_replicas=bounds[stage.name].most)
    if stage.name in SCALED:
        most = min(stage.max_replicas, limits.MAX_WORKERS)
        return replace(stage, min_replicas=min(stage.min_replicas, most), max_replicas=most)
    workers = 1 if stage.name == "gateway" else config.audit.workers
    return replace(stage, min_replicas=workers, max_replicas=workers)
