"""Ringline: a signal-to-fill trading pipeline that measures itself.

Import what you need from the subpackage that owns it (`pipeline.telemetry`, `pipeline.trading`, …);
this package itself imports nothing, so that using one part never pays for another.
"""

__version__ = "0.1.0"
