"""The stages of the pipeline: thin; each joins transport, trading, storage and telemetry."""
