"""Secrets come from files and environment, are made where none is configured, and never show."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from pipeline.config.schema import Config, Source, TradingView
from pipeline.errors import MissingError
from pipeline.signing import parse_secret, secret_text, sign
from pipeline.stages.gateway.secrets import generated_file, load_secrets, source_keys, source_secrets

ONE, TWO = bytes(range(24)), bytes(range(40))


def signature(text: str) -> str:
    return sign(parse_secret(text), "id", 1, b"body")


def test_files_and_environment_are_all_accepted_in_order(tmp_path: Path) -> None:
    (tmp_path / "old.whsec").write_text(secret_text(ONE) + "\n")
    source = Source(secret_files=(str(tmp_path / "old.whsec"),), secret_env=("NEW",))
    secrets = source_secrets("demo", source, tmp_path, {"NEW": secret_text(TWO)})
    assert [secret.name for secret in secrets] == ["old.whsec", "NEW"]
    assert [sign(secret, "id", 1, b"body") for secret in secrets] == [
        signature(secret_text(ONE)),
        signature(secret_text(TWO)),
    ]


def test_one_is_made_where_none_is_configured_and_kept(tmp_path: Path) -> None:
    first = source_secrets("demo", Source(), tmp_path, {})
    again = source_secrets("demo", Source(), tmp_path, {})
    file = generated_file(tmp_path, "demo")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert sign(first[0], "id", 1, b"body") == sign(again[0], "id", 1, b"body") == signature(file.read_text())
    assert [path.name for path in file.parent.iterdir()] == ["demo.whsec"]


def test_each_source_gets_its_own(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path), sources={"a": Source(), "b": Source()})
    secrets = load_secrets(config, {})
    assert sign(secrets["a"].secrets[0], "id", 1, b"") != sign(secrets["b"].secrets[0], "id", 1, b"")


def test_every_fault_is_a_line_that_names_source_and_origin(tmp_path: Path) -> None:
    (tmp_path / "short").write_text(secret_text(ONE[:10]))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n")
    config = Config(
        data_dir=str(tmp_path),
        sources={
            "a": Source(secret_files=(str(tmp_path / "absent"),)),
            "b": Source(secret_env=("UNSET",)),
            "c": Source(secret_files=(str(tmp_path / "short"),)),
            "d": Source(secret_files=(str(tmp_path / "binary"),)),
        },
    )
    with pytest.raises(MissingError) as caught:
        load_secrets(config, {})
    assert str(caught.value).splitlines() == [
        f"sources.a: secret file {tmp_path}/absent: No such file or directory",
        "sources.b: environment variable UNSET: not set",
        f"sources.c: secret file {tmp_path}/short: 10 bytes; allowed: 24 to 64 bytes",
        f"sources.d: secret file {tmp_path}/binary: does not start with whsec_",
    ]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("a file in the way")
    with pytest.raises(MissingError, match=r"sources\.demo: secret file .*demo\.whsec: "):
        source_secrets("demo", Source(), tmp_path, {})


def test_a_secret_made_by_another_process_meanwhile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = generated_file(tmp_path, "demo")
    file.parent.mkdir()
    file.write_text(secret_text(TWO))
    monkeypatch.setattr(Path, "exists", lambda self: False)
    (secret,) = source_secrets("demo", Source(), tmp_path, {})
    assert sign(secret, "id", 1, b"body") == signature(secret_text(TWO))


def test_other_profiles_share_any_text_as_their_key(tmp_path: Path) -> None:
    (tmp_path / "hub").write_bytes(b"It's a Secret to Everybody\n")
    source = Source(profile="github", secret_files=(str(tmp_path / "hub"),), secret_env=("OLD",))
    keys = source_keys("hub", source, tmp_path, {"OLD": "0123456789abcdef"})
    assert [key.name for key in keys.shared] == ["hub", "OLD"]
    assert keys.shared[0].is_token(b"It's a Secret to Everybody")
    assert (keys.secrets, keys.tokens) == ((), ())
    assert "Everybody" not in repr(keys)


def test_a_path_token_is_made_where_none_is_configured_and_fits_a_path(tmp_path: Path) -> None:
    source = Source(profile="tradingview", tradingview=TradingView(token_env=("TOKEN",)))
    keys = source_keys("view", source, tmp_path, {"TOKEN": "low-privilege"})
    text = generated_file(tmp_path, "view").read_text().strip()
    assert len(bytes.fromhex(text)) == 32
    assert keys.shared[0].is_token(text.encode())
    assert keys.tokens[0].is_token(b"low-privilege")


def test_keys_that_are_none_are_named(tmp_path: Path) -> None:
    config = Config(
        data_dir=str(tmp_path),
        sources={
            "a": Source(profile="hmac", secret_env=("SHORT",)),
            "b": Source(profile="tradingview", tradingview=TradingView(token_env=("TINY",))),
        },
    )
    with pytest.raises(MissingError) as caught:
        load_secrets(config, {"SHORT": "abc", "TINY": "abc"})
    assert str(caught.value).splitlines() == [
        "sources.a: environment variable SHORT: 3 bytes; allowed: 16 to 256 bytes",
        "sources.b.tradingview: environment variable TINY: 3 bytes; allowed: 8 to 256 bytes",
    ]
    with pytest.raises(MissingError, match=r"sources\.a: profile hmac has no Standard Webhooks secret"):
        source_secrets("a", config.sources["a"], tmp_path, {})
