from __future__ import annotations

from pipeline.trading.reasons import MEANINGS, Reason, code_of, describe


def test_a_reason_is_its_code_and_its_facts() -> None:
    text = describe(Reason.RISK_MAX_QUANTITY, wanted="11", limit=10)
    assert text == "RISK_MAX_QUANTITY: wanted=11 limit=10"
    assert code_of(text) == Reason.RISK_MAX_QUANTITY


def test_every_code_has_a_category_a_condition_and_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)
    for code in Reason:
        assert code.value.partition("_")[0] in {"CANDLE", "SIGNAL", "CONTROL", "RISK", "THROTTLE", "STRATEGY"}
