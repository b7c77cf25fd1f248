"""The audit over HTTP: queries, the story of an event, and a WebSocket feed of settled rows (docs/feed.md).

A process of its own beside the audit workers: it only reads, so whatever its clients do, no append waits.
"""

from pipeline.stages.feed.worker import run_feed

__all__ = ["run_feed"]
