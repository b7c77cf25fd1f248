"""What an agent or exec tells of its queues."""

from __future__ import annotations

from msgspec import Struct

from pipeline.transport.downlinks import DownlinkStatistics


class WorkerStatistics(Struct, frozen=True):
    """Depths of all queues, and what went differently."""

    inbox: int
    outputs: int
    received: int
    fullest_link: int
    """Messages received on one link and neither settled nor refused, at the most: never above its credit."""
    keys: int
    questions: int
    refused: int
    failed_steps: int
    resets: int
    links_lost: int
    downlinks: tuple[DownlinkStatistics, ...]
