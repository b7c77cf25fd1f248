"""The decision: a pure function of what is asked for, what is seen, what is remembered, and now."""

from __future__ import annotations

from pipeline_operator.memory import Memory, decode_memory, encode_memory
from pipeline_operator.policy.decide import decide

__all__ = ["Memory", "decide", "decode_memory", "encode_memory"]
