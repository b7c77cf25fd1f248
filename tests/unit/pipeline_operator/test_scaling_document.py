"""docs/scaling.md says what is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec

from pipeline_operator.parse_spec import parse_spec
from pipeline_operator.record import ConditionType
from pipeline_operator.spec import Tuning

TEXT = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_its_example_is_a_sound_pipeline() -> None:
    blocks = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 1
    assert parse_spec(json.loads(blocks[0])).stage("agent").max_replicas == 12


def test_its_table_has_every_setting_with_its_default() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", TEXT, re.MULTILINE)
    assert rows == [(field.encode_name, str(field.default)) for field in msgspec.structs.fields(Tuning)]


def test_it_explains_every_condition() -> None:
    for kind in ConditionType:
        assert f"| `{kind}` |" in TEXT
