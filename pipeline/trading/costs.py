"""What a fill costs beside its price: slippage and commission, in exact integers."""

from __future__ import annotations

from pipeline import limits
from pipeline.config import schema
from pipeline.errors import ConfigError
from pipeline.trading.decimals import fraction


class Costs:
    """Compiled `exec.commission_bps` and `exec.slippage_bps`. Raises ConfigError outside 0 to 10,000."""

    __slots__ = ("_commission", "_commission_per", "_slippage", "_slippage_per")

    def __init__(self, section: schema.Exec) -> None:
        self._commission, self._commission_per = _ratio("exec.commission_bps", section.commission_bps)
        self._slippage, self._slippage_per = _ratio("exec.slippage_bps", section.slippage_bps)

    @property
    def slips(self) -> bool:
        """Whether fills are worse than their reference at all."""
        return bool(self._slippage)

    def commission(self, notional: int) -> int:
        """On `notional` ≥ 0, in its own unit, halves rounded up."""
        per = self._commission_per
        return (2 * notional * self._commission + per) // (2 * per)

    def slipped(self, price: int, side: int, tick: int) -> int:
        """`price` made worse for `side`: up to the next tick for a buy (at most doubled), down for a sell
        (never below one tick). Without slippage the price stays exactly as it was."""
        if not self._slippage:
            return price
        per = self._slippage_per
        if side > 0:
            return min(-(-price * (per + self._slippage) // (per * tick)) * tick, 2 * price)
        return max(price * (per - self._slippage) // (per * tick) * tick, min(price, tick))


def _ratio(name: str, text: str) -> tuple[int, int]:
    exact = fraction(text)
    if not 0 <= exact <= limits.MAX_BPS:
        raise ConfigError([f"{name} = {text!r}: allowed: 0 to {limits.MAX_BPS}"])
    share = exact / limits.MAX_BPS
    return share.numerator, share.denominator
