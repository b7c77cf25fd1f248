"""Layers of configuration, and what a person reads about every kind of fault."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import process
from pipeline.config import Config, environment_name, environment_names, json_schema, load, resolve
from pipeline.config.load import leaves
from pipeline.errors import EXIT_MISSING, EXIT_USAGE, ConfigError, MissingError

PATHS = [path for path, _ in leaves()]
SAMPLES: dict[str, Any] = {
    "feed.enabled": False,
    "valuation.enabled": True,
    "valuation.feed": False,
    "valuation.engine": "memory",
    "valuation.models": {"last": {"kind": "last"}},
    "data_dir": "/srv/x",
    "gateway.max_body_bytes": 2048,
    "telemetry.ring_entries": 1024,
    "journal.max_bytes": 2**31,
    "journal.segment_bytes": 2**20,
    "links.credit": 512,
    "links.depth": 8,
    "exec.commission_bps": "2.5",
    "exec.fill_policy": "signal_price",
    "telemetry.directory": "/dev/shm/x",
    "trading.throttles": [{"name": "t", "max_trades": 1}],
    "trading.strategies": {"b": {"kind": "breakout"}},
    "sources": {"other": {}},
}
"""Values that differ from the defaults and fit beside them; other numbers are raised by 5."""
FIXED = {"audit.workers"}
"""Allows its default only, with SQLite."""


def faults(tree: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(tree)
    return caught.value.faults


def get(config: Config, path: str) -> Any:
    node: Any = config
    for name in path.split("."):
        node = getattr(node, name)
    return msgspec.to_builtins(node)


# ---- layers ---------------------------------------------------------------------------------------------


def test_defaults_need_nothing() -> None:
    assert load() == Config()


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.toml", "[links]\ncredit = 512\n"), ("c.json", '{"links": {"credit": 512}}')],
)
def test_a_file_may_be_toml_or_json(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert load(tmp_path / name).links.credit == 512


def test_later_layers_win(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[links]\ncredit = 300\ndepth = 3\n[agent]\nworkers = 3\n")
    environment = {"RINGLINE_LINKS_CREDIT": "400", "RINGLINE_LINKS_DEPTH": "4"}
    config = load(file, environment, ["links.credit=500"])
    assert (config.links.credit, config.links.depth, config.agent.workers) == (500, 4, 3)


def test_values_in_the_environment_and_on_the_command_line_are_json_or_text() -> None:
    environment = {"RINGLINE_SOURCES": '{"x": {}}', "RINGLINE_DATA_DIR": "folder with spaces"}
    config = load(None, environment, ['trading.throttles=[{"name": "t"}]'])
    assert list(config.sources) == ["x"]
    assert config.data_dir == "folder with spaces"
    assert config.trading.throttles[0].name == "t"


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("exec.commission_bps=2.5", "exec.commission_bps", "2.5"),
        ("data_dir=2024", "data_dir", "2024"),
        ('data_dir="2024"', "data_dir", "2024"),
        ("trading.max_signal_quantity=007", "trading.max_signal_quantity", "007"),
        ("links.credit=512", "links.credit", 512),
    ],
)
def test_what_is_text_stays_text_though_it_looks_like_a_number(
    assignment: str, path: str, value: Any
) -> None:
    assert get(load(assignments=[assignment]), path) == value


def test_a_key_inside_a_map_can_be_set_alone() -> None:
    words = ["trading.strategies.x.kind=breakout", "trading.strategies.x.quantity=50"]
    assert load(assignments=[*words, "trading.strategies.x.short=true"]).trading.strategies["x"].short
    with pytest.raises(ConfigError, match=r"trading\.strategies\.x\.y: unknown key"):
        load(assignments=[*words, "trading.strategies.x.y.z=1"])


def test_a_part_of_a_default_item_is_changed_where_it_stands() -> None:
    strategies = load(assignments=["trading.strategies.sma.fast=12"]).trading.strategies
    expected = dict(Config().trading.strategies)
    expected["sma"] = msgspec.structs.replace(expected["sma"], fast=12)
    assert strategies == expected
    both = load(assignments=["trading.strategies.sma.fast=12", "trading.strategies.sma.slow=50"])
    assert (both.trading.strategies["sma"].fast, both.trading.strategies["sma"].slow) == (12, 50)
    words = ["trading.strategies.x.kind=breakout", "trading.throttles=[]"]
    assert list(load(assignments=words).trading.strategies) == ["x"], "one's own instead of the defaults"


def test_what_a_file_says_of_a_map_is_all_there_is_of_it(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[trading]\nthrottles = []\n[trading.strategies.mine]\nkind = "breakout"\n')
    assert list(load(file, assignments=["trading.strategies.mine.lookback=9"]).trading.strategies) == ["mine"]
    with pytest.raises(ConfigError, match=r"trading\.strategies\.sma\.kind: missing"):
        load(file, assignments=["trading.strategies.sma.fast=12"])


def test_variables_of_others_are_none_of_our_business() -> None:
    assert load(None, {"RINGLINE_SOMETHING_ELSE": "1", "PATH": "/bin"}) == Config()


# ---- names ----------------------------------------------------------------------------------------------


def test_every_key_has_an_environment_name_of_its_own() -> None:
    assert len(environment_names()) == len(PATHS)
    assert sorted(environment_names().values()) == sorted(PATHS)
    assert environment_name("journal.max_bytes") == "RINGLINE_JOURNAL_MAX_BYTES"


def test_no_key_is_called_like_a_variable_of_the_supervisor() -> None:
    assert not {process.READY_FD, process.PARENT_PID, "RINGLINE_CONFIG"} & set(environment_names())


@given(path=st.sampled_from(PATHS))
def test_a_variable_sets_its_key_and_no_other(path: str) -> None:
    default = Config()
    value = SAMPLES.get(path, get(default, path))
    if isinstance(value, bool):
        value = not value if path not in SAMPLES else value
    elif isinstance(value, int) and path not in SAMPLES and path not in FIXED:
        value += 7
    changed = load(None, {environment_name(path): value if isinstance(value, str) else json.dumps(value)})
    assert load(assignments=[f"{path}={json.dumps(value)}"]) == changed
    for other in PATHS:
        if other != path:
            assert get(changed, other) == get(default, other)
    assert (get(changed, path) == get(default, path)) == (value == get(default, path))


@given(path=st.sampled_from(PATHS))
def test_a_configuration_survives_a_file_of_json(path: str) -> None:
    assignments = [f"{path}={json.dumps(SAMPLES[path])}"] if path in SAMPLES else []
    config = load(assignments=assignments)
    assert resolve(json.loads(msgspec.json.encode(config))) == config


# ---- faults ---------------------------------------------------------------------------------------------


def test_all_faults_of_all_layers_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('colour = "red"\n[links]\ncredit = 1\n')
    with pytest.raises(ConfigError) as caught:
        load(file, {"RINGLINE_GATEWAY_PORT": "0"}, ["nonsense", "agent.workers=65"])
    assert caught.value.exit_code == EXIT_USAGE
    assert sorted(fault.split(" ")[0].rstrip(":") for fault in caught.value.faults) == [
        *("--set", "agent.workers", "colour", "gateway.port", "links.credit"),
    ]
    assert str(caught.value) == "\n".join(caught.value.faults)


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (
            {"gateway": {"port": 70_000}},
            "gateway.port = 70000: expected `int` <= 65535 (allowed: 1 to 65535)",
        ),
        (
            {"gateway": {"port": "http"}},
            "gateway.port = 'http': expected `int`, got `str` (allowed: 1 to 65535)",
        ),
        ({"exec": {"fill_policy": "best"}}, "exec.fill_policy = 'best': invalid enum value 'best'"),
        ({"data_dir": 7}, "data_dir = 7: expected `str`, got `int`"),
        ({"links": 5}, "links: expected a section, got 5"),
        ({"sources": {"demo": 5}}, "sources.demo: expected a section, got 5"),
        (
            {"links": {"speed": 5}},
            (
                "links.speed: unknown key; here are ask_again_ms, credit, curve, dead_after_ms, depth, "
                "heartbeat_ms, key_env, key_file"
            ),
        ),
        ({"trading": {"strategies": {"x": {}}}}, "trading.strategies.x.kind: missing"),
        ({"trading": {"throttles": [{}]}}, "trading.throttles[0].name: missing"),
        (
            {"trading": {"throttles": [{"name": "t", "max_trades": -1}]}},
            "trading.throttles[0].max_trades = -1: expected `int` >= 0 (allowed: 0 to 1000)",
        ),
        (
            {"trading": {"throttles": [{"name": "t", "scope": {"symbol": "a b"}}]}},
            "trading.throttles[0].scope.symbol = 'a b': expected `str` matching regex",
        ),
        (
            {"exec": {"commission_bps": "1e5"}},
            "exec.commission_bps = '1e5': expected `str` matching regex",
        ),
        ({"sources": {"a/b": {}}}, "sources.a/b = 'a/b': expected `str` matching regex"),
        ({"sources": {"demo": {"secret_files": [1]}}}, "sources.demo.secret_files[0] = 1: expected `str`"),
    ],
)
def test_a_fault_names_key_value_and_what_is_allowed(tree: dict[str, Any], expected: str) -> None:
    (fault,) = faults(tree)
    assert fault.startswith(expected)


def test_one_fault_does_not_hide_the_next_in_its_section() -> None:
    found = faults({"links": {"credit": 1, "depth": 0, "heartbeat_ms": 1}})
    assert [fault.split(" ")[0] for fault in found] == ["links.credit", "links.depth", "links.heartbeat_ms"]


def test_an_assignment_without_a_value_says_how_one_looks() -> None:
    with pytest.raises(ConfigError, match=r"--set 'links': expected KEY=VALUE, such as --set journal"):
        load(assignments=["links"])


def test_an_assignment_below_a_single_value_is_a_fault() -> None:
    with pytest.raises(ConfigError, match=r"--set data_dir\.x: data_dir is not a section"):
        load(assignments=["data_dir=/x", "data_dir.x=5"])


def test_a_file_that_cannot_be_read_is_missing_not_wrong(tmp_path: Path) -> None:
    with pytest.raises(
        MissingError, match=re.escape(f"configuration {tmp_path}/no.toml: cannot be read")
    ) as caught:
        load(tmp_path / "no.toml")
    assert caught.value.exit_code == EXIT_MISSING
    (tmp_path / "latin.toml").write_bytes(b'data_dir = "\xe9"')
    with pytest.raises(MissingError, match="cannot be read"):
        load(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("name", "text"), [("c.toml", "links = ["), ("c.json", "{"), ("c.json", "[1, 2]"), ("d.json", "7")]
)
def test_a_file_that_is_no_toml_or_json_is_one_fault(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / name)
    assert len(caught.value.faults) == 1
    assert caught.value.faults[0].startswith(f"configuration {tmp_path / name}: ")


KEYS = st.one_of(st.sampled_from([name for path in PATHS for name in path.split(".")]), st.text(max_size=4))
JUNK = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JUNK, max_size=6))
def test_whatever_is_configured_is_a_configuration_or_a_list_of_faults(tree: dict[str, Any]) -> None:
    found: list[str] = ["a configuration"]
    try:
        resolve(tree)
    except ConfigError as error:
        found = error.faults
    assert found
    assert all(fault.strip() for fault in found)


# ---- schema ---------------------------------------------------------------------------------------------


def test_the_schema_describes_every_section_with_its_ranges() -> None:
    schema = json_schema()
    sections = schema["$defs"]
    assert set(Config.__struct_fields__) == set(sections["Config"]["properties"])
    assert (
        sections["Gateway"]["properties"]["port"] | {"minimum": 1, "maximum": 65535, "default": 8001}
        == (sections["Gateway"]["properties"]["port"])
    )
    assert all(section["additionalProperties"] is False for section in sections.values())


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("telemetry.sla.AGENT_DECISION.p95=-1", "telemetry.sla.AGENT_DECISION.p95 = -1"),
        ("telemetry.sla.AGENT_DECISION.p95=0", "telemetry.sla.AGENT_DECISION.p95 = 0"),
        ("telemetry.sla.EVENT_BUS_PUBLISH.p95=1e-9", "telemetry.sla.EVENT_BUS_PUBLISH.p95 = 1e-09"),
        ("telemetry.sla.AGENT_DECISION.p95=soon", "telemetry.sla.AGENT_DECISION.p95 = 'soon'"),
        ("telemetry.sla.AGENT_DECISION.p0=5", "telemetry.sla.AGENT_DECISION.p0"),
        ("telemetry.sla.AGENT_DECISION.p100=5", "telemetry.sla.AGENT_DECISION.p100"),
        ("telemetry.sla.AGENT_DECISION.max=5", "telemetry.sla.AGENT_DECISION.max"),
        ("telemetry.sla.AGENT_DECISION=5", "telemetry.sla.AGENT_DECISION = 5"),
        ("telemetry.sla=5", "telemetry.sla = 5"),
        ("telemetry.sla.AGENT_DECISION.p95=1e300", "telemetry.sla.AGENT_DECISION.p95 = 1e+300"),
    ],
)
def test_an_sla_that_makes_no_sense_is_refused_by_name(assignment: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(None, assignments=[assignment])
    [fault] = refused.value.faults
    assert fault.startswith(said)


def test_an_sla_is_given_by_event_and_percentile() -> None:
    given = ["telemetry.sla.AGENT_DECISION.p95=20", "telemetry.sla.checkout.p99_9=2.5", "telemetry.sla.x={}"]
    sla = load(None, assignments=given).telemetry.sla
    assert sla == {"AGENT_DECISION": {"p95": 20}, "checkout": {"p99_9": 2.5}, "x": {}}
    environment = {"RINGLINE_TELEMETRY_SLA": '{"AGENT_DECISION": {"p50": 3}}'}
    assert load(None, environment).telemetry.sla == {"AGENT_DECISION": {"p50": 3.0}}
    for many in (
        {f"e{number}": {"p50": 1} for number in range(65)},
        {"e": {f"p{n}": 1 for n in range(1, 10)}},
    ):
        with pytest.raises(ConfigError, match="at most"):
            resolve({"telemetry": {"sla": many}})
