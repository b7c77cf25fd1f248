"""Where the API server is."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import MissingError
from pipeline_operator.kube import access as module
from pipeline_operator.kube.access import find_access

GOOD = """
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: trading}}]
clusters: [{name: c, cluster: {server: "https://192.0.2.1:6443/"}}]
users: [{name: u, user: {token: secret}}]
"""


def test_a_kubeconfig_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(GOOD)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    found = find_access()
    assert (found.server, found.default_namespace) == ("https://192.0.2.1:6443", "trading")
    assert found.headers() == {"Authorization": "Bearer secret"}


@pytest.mark.parametrize("text", ["]", "{}", "current-context: x", GOOD.replace("server:", "servant:")])
def test_a_broken_kubeconfig_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "config").write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    with pytest.raises(MissingError, match="KUBECONFIG = "):
        find_access()


def test_without_any_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingError, match="set KUBECONFIG, or run in a pod"):
        find_access()


def test_in_a_pod_the_token_is_read_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(GOOD)
    (tmp_path / "token").write_text("one\n")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(module, "TOKEN_FILE", tmp_path / "token")
    inside = module.Access(find_access().info, rotates=True)
    assert inside.headers() == {"Authorization": "Bearer one"}
    (tmp_path / "token").write_text("two\n")
    assert inside.headers() == {"Authorization": "Bearer two"}
    assert inside.renewed().token == "two"
