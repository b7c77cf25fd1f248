"""The trading core: pure, exact, deterministic. No I/O, no clock but the event's, no floats.

A decision is a pure function of its key's event sequence, so the same code runs live, after a redelivery
and in a replay (ARCHITECTURE.md, "What may be relied on").
"""
