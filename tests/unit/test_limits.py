"""The bounds hold together: what one allows, the next can carry."""

from __future__ import annotations

from pathlib import Path

from pipeline import limits
from pipeline.config import Config
from pipeline.config.check import PORT_STRIDE


def test_every_bound_is_a_positive_integer() -> None:
    bounds = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert bounds
    assert all(isinstance(value, int) and value > 0 for value in bounds.values())


def test_every_bound_says_why_or_belongs_to_one_that_does() -> None:
    """A bound is followed by its reason, or by the next bound of the same reason."""
    text = Path(limits.__file__).read_text()
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if any(line[:1].isupper() and " = " in line for line in lines) and '"""' not in block:
            assert "KIB" in block or "RING_ENTR" in block, block


def test_the_largest_value_and_quantity_multiply_within_a_word_only_when_checked() -> None:
    assert limits.MAX_SCALED**2 > limits.MAX_NOTIONAL
    assert limits.MAX_SCALED < limits.MAX_NOTIONAL
    assert len(str(limits.MAX_SCALED)) + limits.MAX_SCALE <= limits.MAX_DECIMAL_CHARS


def test_a_body_of_full_size_fits_a_journal_record_and_a_frame() -> None:
    assert limits.MAX_BODY_BYTES < limits.MAX_RECORD_BYTES < limits.MAX_FRAME_BYTES


def test_the_default_configuration_is_within_the_bounds_of_the_links() -> None:
    links = Config().links
    assert links.depth <= links.credit // limits.KEY_SHARE
    assert links.credit <= limits.MAX_CREDIT


def test_the_last_worker_of_the_largest_stage_still_has_a_port() -> None:
    assert Config().audit.port + PORT_STRIDE * (limits.MAX_WORKERS - 1) <= 65_535


def test_a_worker_s_own_deadline_comes_after_its_supervisor_s() -> None:
    assert limits.LEAVE_GRACE_S > 0
    assert limits.RESTART_PAUSE_MIN_MS <= limits.RESTART_PAUSE_MAX_MS
