"""Settings of these tests."""

from hypothesis import settings

# The machine may be busy with something else; what is slow shows in --durations.
settings.register_profile("telemetry", deadline=None)
settings.load_profile("telemetry")
