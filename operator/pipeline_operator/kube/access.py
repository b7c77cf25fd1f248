"""How to reach the API server: KUBECONFIG, else the service account of the pod, else ~/.kube/config."""

from __future__ import annotations

import dataclasses
import os
import ssl
from pathlib import Path
from typing import Any

import kopf

from pipeline.errors import MissingError

TOKEN_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
TOKEN_READ_EVERY_NS = 30 * 10**9
"""A bound service account token is renewed in its file long before it ends: now and then is enough."""


@dataclasses.dataclass(frozen=True)
class Access:
    """Where the API server is and who we are there."""

    info: kopf.ConnectionInfo
    rotates: bool
    """The token is in a file that the kubelet renews."""

    @property
    def server(self) -> str:
        return self.info.server.rstrip("/")

    @property
    def default_namespace(self) -> str | None:
        return self.info.default_namespace

    def tls(self) -> ssl.SSLContext:
        return self.info.as_ssl_context()

    def renewed(self) -> kopf.ConnectionInfo:
        """The same with the newest token."""
        if not self.rotates:
            return self.info
        return dataclasses.replace(self.info, token=_token())

    def headers(self) -> dict[str, str]:
        """What proves who we are; reads the token's file when it is one that is renewed."""
        return self.renewed().as_http_headers()


def find_access() -> Access:
    """Raises MissingError when there is neither a KUBECONFIG nor a service account, or it cannot be read."""
    settings: Any = kopf.OperatorSettings()
    given = os.environ.get("KUBECONFIG")
    try:
        if not given and TOKEN_FILE.exists():
            inside = kopf.login_with_service_account(settings=settings)
            if inside is not None:
                return Access(_by_address(inside), rotates=True)
        outside = kopf.login_with_kubeconfig(settings=settings)
    except Exception as error:  # whatever a broken file makes the reader raise
        raise MissingError(f"KUBECONFIG = {given or '~/.kube/config'}: cannot be read: {error}") from None
    if outside is None:
        raise MissingError("no API server: set KUBECONFIG, or run in a pod with a service account")
    if not outside.server:
        raise MissingError(f"KUBECONFIG = {given or '~/.kube/config'}: its cluster names no server")
    return Access(outside, rotates=False)


def _token() -> str:
    return TOKEN_FILE.read_text(encoding="ascii").strip()


def _by_address(info: kopf.ConnectionInfo) -> kopf.ConnectionInfo:
    """By the address that the kubelet gives: then a sick cluster DNS does not keep us from scaling."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        return info
    return dataclasses.replace(info, server=f"https://{f'[{host}]' if ':' in host else host}:{port}")
