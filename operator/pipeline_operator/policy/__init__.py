"""The decision: a pure function of what is asked for, what is seen, what is remembered, and now."""

from __future__ import annotations

from pipeline_operator.policy.memory import Memory, decode_memory, encode_memory

__all__ = ["Memory", "decode_memory", "encode_memory"]
