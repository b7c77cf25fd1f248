"""The embedded autoscaler: workers of this machine instead of pods, by the operator's own policy.

The one package of `pipeline` that knows `pipeline_operator`; of it only the policy, which needs neither
Kubernetes nor any extra. `state` alone is free of it, for whoever only looks.
"""
