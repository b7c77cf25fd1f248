"""W3C Trace Context: the sender's `traceparent`, checked and carried to the audit row.

    00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
    version, trace-id, parent-id, flags (W3C Recommendation of 2021-11-23, section 3.2)

A value that is not one is dropped, as the specification asks: a fault in a tracer never costs an event.
"""

from __future__ import annotations

HEADER = b"traceparent"
_CHARS = 55
"""Of version 00; later versions may append fields, each after a dash."""
_HEX = b"0123456789abcdef"


def checked(value: bytes) -> str:
    """`value`, cut to the fields of version 00 where a later version has more; empty when it is not valid."""
    head = value[:_CHARS]
    parts = head.split(b"-")
    if [len(part) for part in parts] != [2, 32, 16, 2] or head.translate(None, _HEX) != b"---":
        return ""
    version, trace_id, parent_id, _ = parts
    if version == b"ff" or not trace_id.strip(b"0") or not parent_id.strip(b"0"):
        return ""
    rest = value[_CHARS:]
    if rest and (version == b"00" or not rest.startswith(b"-")):
        return ""
    return head.decode("ascii")
