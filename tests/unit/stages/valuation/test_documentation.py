"""docs/valuation.md shows what there is."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import msgspec
from valuation_desk import Served, serve_here

from pipeline import valuation_limits
from pipeline.config.valuation import Model, Valuation
from pipeline.stages.gateway.problem import Problem
from pipeline.stages.valuation import wire
from pipeline.valuation.models import KINDS

TEXT = (Path(__file__).parents[4] / "docs" / "valuation.md").read_text()
JSON = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)


def test_what_is_asked_and_answered_is_shown_as_it_is(served: Served) -> None:
    msgspec.json.decode(JSON[0], type=wire.ValuationIn, strict=True)
    shown = msgspec.json.decode(JSON[1], type=wire.ValuationOut)
    served.ask("PUT", "/v1/marks/AAPL", {"price": "101"})
    served.ask(
        "PUT", "/v1/domains/desk", {"positions": [{"symbol": "AAPL", "quantity": "10", "cost": "1000"}]}
    )
    told = served.ask("POST", "/v1/valuations", {"domains": ["desk"], "ensemble": True}).body
    assert list(told) == list(json.loads(JSON[1]))
    assert list(told["domains"][0]) == list(json.loads(JSON[1])["domains"][0])
    assert list(told["domains"][0]["positions"][0]) == list(json.loads(JSON[1])["domains"][0]["positions"][0])
    assert shown.domains[0].value == told["domains"][0]["value"]


def test_every_path_is_named(served: Served) -> None:
    for path in served.ask("GET", "/openapi.json").body["paths"]:
        assert f"{path}`" in TEXT, path


def test_every_problem_key_and_limit_is_one(tmp_path: Path) -> None:
    kinds = {kind.value[0] for kind in Problem}
    named = set(re.findall(r"`([a-z]+-[a-z-]+)`", TEXT))
    assert named <= kinds
    for key in set(re.findall(r"`valuation\.([a-z_]+)`", TEXT)) - {"sqlite"}:
        assert key in Valuation.__struct_fields__, key
    domains, positions = valuation_limits.MAX_BATCH_DOMAINS, valuation_limits.MAX_BATCH_POSITIONS
    assert f"{domains} domains and {positions:,} positions a batch" in TEXT
    assert f"{valuation_limits.MAX_POSITIONS:,} a domain" in TEXT
    for kind in KINDS:
        assert f"`{kind}`" in TEXT, kind


def test_the_model_of_ones_own_works_as_it_stands(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)[0]
    (tmp_path / "mine.py").write_text(code)
    section = tomllib.loads(re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)[0])["valuation"]["models"]
    section["halfway"]["source"] = f"{tmp_path}/{section['halfway']['source']}"
    msgspec.convert(section["halfway"], Model)
    models = {**section, "last": {"kind": "last"}}
    with serve_here(tmp_path, models=models) as served:
        candle = {"type": "candle", "symbol": "A", "time": "2023-01-01T00:00:00Z", "open": "1", "high": "1",
                  "low": "1", "close": "1"}  # fmt: skip
        served.ask("POST", "/v1/candles", {"candles": [candle]})
        served.ask("PUT", "/v1/marks/A", {"price": "5"})
        found = {one["model"]: one for one in served.ask("GET", "/v1/marks/A").body["models"]}
        assert found["halfway"] == {"model": "halfway", "price": "4", "fault": ""}
