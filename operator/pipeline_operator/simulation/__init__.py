"""A model of the pipeline under traces of load: our policy beside other autoscalers. Deterministic."""
