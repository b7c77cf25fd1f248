"""What is of interest in a row of the audit, as `audit query --json` and its HTTP interface tell it."""

from __future__ import annotations

from msgspec import Struct


class LegSaid(Struct):
    verdict: str = ""


class FillSaid(Struct):
    order_seq: int
    order_leg: int
    strategy: str
    quantity: str


class RowSaid(Struct):
    seq: int
    key: str
    key_seq: int
    webhook_id: str
    outcome: str
    event: dict[str, str] = {}
    legs: list[LegSaid] = []
    fills: list[FillSaid] = []
