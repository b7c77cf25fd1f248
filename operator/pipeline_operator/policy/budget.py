"""The replica budget of a whole Pipeline, shared by need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Claim(NamedTuple):
    """One stage: what it keeps in any case, and what it would like; `fixed` ones keep what they like."""

    floor: int
    wanted: int
    fixed: bool = False


def share(claims: Mapping[str, Claim], budget: int | None) -> dict[str, int]:
    """Replicas of each stage: together at most `budget`, unless the floors alone exceed it.

    What is left above the floors is shared in proportion to what each lacks, by largest remainders; among
    equals by name.
    """
    wanted = {name: claim.wanted for name, claim in claims.items()}
    if budget is None or sum(wanted.values()) <= budget:
        return wanted
    shared = {name: claim.wanted if claim.fixed else claim.floor for name, claim in claims.items()}
    left = budget - sum(shared.values())
    needs = {name: wanted[name] - shared[name] for name in claims if wanted[name] > shared[name]}
    total = sum(needs.values())
    if left <= 0 or not total:
        return shared
    left = min(left, total)
    for name, need in needs.items():
        shared[name] += need * left // total
    given = sum(need * left // total for need in needs.values())
    for name in _by_remainder(needs, left, total)[: left - given]:
        shared[name] += 1
    return shared


def _by_remainder(needs: Mapping[str, int], left: int, total: int) -> Sequence[str]:
    return sorted(needs, key=lambda name: (-(needs[name] * left % total), name))
