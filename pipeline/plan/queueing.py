"""How full a worker may be. Keys stick to workers, so each worker has a queue of its own: c queues of one
server, not one queue of c servers (Erlang's C would promise too much).

The mean wait in one queue is Kingman's formula (J. F. C. Kingman, "The single server queue in heavy traffic",
1961), which Sakasegawa's (1977) becomes for one server:

    W = ρ / (1 − ρ) · (ca² + cs²) / 2 · s

with ρ the share of its time that the worker is busy, s the mean service time, ca² and cs² the squared
coefficients of variation of the times between arrivals and of service. In heavy traffic the wait of those who
wait is exponential (Kingman 1962), so P(wait > t) = ρ · exp(−ρ t / W).
"""

from __future__ import annotations

import math

HEAVIEST = 3.0
"""Standard deviations by which the fullest of several workers is above the mean."""


def mean_wait_s(rho: float, service_s: float, ca2: float, cs2: float) -> float:
    """Kingman's mean wait before service; infinite for a worker that is never idle."""
    if rho >= 1:
        return math.inf
    return rho / (1 - rho) * (ca2 + cs2) / 2 * service_s


def wait_quantile_s(share: float, rho: float, service_s: float, ca2: float, cs2: float) -> float:
    """The wait that `share` of the events stay below."""
    wait_s = mean_wait_s(rho, service_s, ca2, cs2)
    if rho <= 1 - share:
        return 0.0
    return wait_s / rho * math.log(rho / (1 - share))


def fullest(workers: int, keys: int) -> float:
    """The load of the fullest worker by the mean one's, where `keys` equal keys are spread by hashing: their
    number on one worker is binomial."""
    if workers <= 1:
        return 1.0
    return 1 + HEAVIEST * math.sqrt((workers - 1) / keys)
