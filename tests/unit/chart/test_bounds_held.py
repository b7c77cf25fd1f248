"""No bound of the configuration or of a Pipeline can be broken by the chart's values."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from bounded_fields import Bound, bounds_of
from rendered_chart import CHART, WHY_NOT, refused

from pipeline.config.schema import Config
from pipeline_operator.spec import Slas, Tuning

jsonschema_rs = pytest.importorskip("jsonschema_rs")

CONFIGURATION = list(bounds_of(Config, "config"))
OPERATOR = [
    *((bound, ("operator", "tuning")) for bound in bounds_of(Tuning, "tuning")),
    *((bound, (stage, "slas")) for stage in ("agent", "exec", "audit") for bound in bounds_of(Slas, "slas")),
]
ALL = [*((bound, ("config",)) for bound in CONFIGURATION), *OPERATOR]


def _named(case: Any) -> str:
    return case.path if isinstance(case, Bound) else ".".join(case)


@functools.cache
def _schema() -> Any:
    return jsonschema_rs.validator_for(json.loads((CHART / "values.schema.json").read_text()))


def _values(tree: Any, under: tuple[str, ...]) -> dict[str, Any]:
    for name in reversed(under):
        tree = {name: tree}
    found: dict[str, Any] = tree
    return found


def test_every_section_has_bounds_that_are_tried() -> None:
    sections = {bound.path.split(".")[1].split(" ")[0] for bound in CONFIGURATION}
    assert sections == set(Config.__struct_fields__) - {"data_dir"}
    tried = {bound.path.split(".")[1].split(" ")[0] for bound, under in OPERATOR if under[0] == "operator"}
    assert tried == set(Tuning.__struct_encode_fields__)


@pytest.mark.parametrize(("bound", "under"), ALL, ids=_named)
def test_a_value_beyond_a_bound_is_refused_and_one_at_it_is_not(bound: Bound, under: tuple[str, ...]) -> None:
    assert not _schema().is_valid(_values(bound.beyond, under))
    if bound.inside is not None:
        values = _values(bound.inside, under)
        assert _schema().is_valid(values), [str(one) for one in _schema().iter_errors(values)]


def test_an_unknown_key_is_refused_wherever_it_is() -> None:
    for under in (("config",), ("config", "journal"), ("operator", "tuning"), ("agent", "slas"), ("tests",)):
        assert not _schema().is_valid(_values({"no-such": 1}, under)), under


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
@pytest.mark.parametrize(("bound", "under"), ALL[:: len(ALL) // 12], ids=_named)
def test_helm_reads_the_schema_in_the_same_way(bound: Bound, under: tuple[str, ...]) -> None:
    said = refused({".".join(under): bound.beyond})
    assert "values don't meet the specifications of the schema" in said
