"""What must hold between fields, in CEL, each with the sentence that a wrong Pipeline is refused with.

CEL cannot follow a circle of any length, and the API server allows a rule only so much cost: a circle of
two stages is refused by it, a longer one by the operator, in the status. `parse_spec.cross_faults` finds
the same faults.
"""

from __future__ import annotations

from pipeline_operator.crd.schema import Extras, Schema
from pipeline_operator.spec import PipelineSpec, Slas, StageSpec, Tuning
from pipeline_operator.status import PipelineStatus


def _rule(rule: str, message: str, expression: str | None = None) -> Schema:
    """A rule with a message; `expression` builds a better one from the values."""
    found = {"rule": rule, "message": message}
    return found | ({"messageExpression": expression} if expression else {})


STAGE = [
    _rule(
        "self.minReplicas <= self.maxReplicas",
        "minReplicas must be at most maxReplicas",
        "'stage ' + self.name + ': minReplicas must be at most maxReplicas'",
    ),
    _rule(
        "!has(self.slas.lagMs) || size(self.upstream) > 0",
        "slas.lagMs: a stage without upstream has no lag, which its senders measure; leave it out",
        "'stage ' + self.name + ': slas.lagMs: a stage without upstream has no lag, which its senders "
        "measure; leave it out'",
    ),
    _rule(
        "!(self.name in self.upstream)",
        "upstream: a stage cannot send to itself",
        "'stage ' + self.name + ': upstream: a stage cannot send to itself'",
    ),
]

TUNING = [
    _rule(
        "self.lowerUsePerMille <= self.raiseUsePerMille",
        "lowerUsePerMille must be at most raiseUsePerMille, or what is lowered is raised again",
    ),
]

SPEC = [
    _rule(
        "self.stages.all(s, s.upstream.all(u, self.stages.exists(t, t.name == u)))",
        "stages: upstream must name stages of this Pipeline",
    ),
    _rule(
        "self.stages.all(s, self.stages.exists_one(t, t.target == s.target))",
        "stages: a target is given twice; a StatefulSet runs one stage",
    ),
    _rule(
        "self.stages.all(s, s.upstream.all(u, self.stages.all(t, t.name != u || !(s.name in t.upstream))))",
        "stages: two stages send to each other",
    ),
    _rule(
        "!has(self.replicaBudget) || self.stages.map(s, s.minReplicas).sum() <= self.replicaBudget",
        "replicaBudget must be at least the sum of all minReplicas",
    ),
]


def _rules(rules: list[Schema]) -> Schema:
    return {"x-kubernetes-validations": rules}


def _by(*keys: str) -> Schema:
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


EXTRAS: Extras = {
    (StageSpec, ""): _rules(STAGE),
    (StageSpec, "upstream"): {"x-kubernetes-list-type": "set"},
    (Slas, "latency"): _by("event", "percentileBasisPoints"),
    (Tuning, ""): _rules(TUNING),
    (PipelineSpec, ""): _rules(SPEC),
    (PipelineSpec, "stages"): _by("name"),
    (PipelineStatus, "conditions"): _by("type"),
    (PipelineStatus, "stages"): _by("name"),
    (PipelineStatus, "decisions"): {"x-kubernetes-list-type": "atomic"},
}
