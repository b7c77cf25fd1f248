"""PostgreSQL and Redis in a pod beside a release, with passwords, for tests of the chart on a cluster."""

from __future__ import annotations

import json
import os
import secrets
from typing import Any

from chart_release import Release, is_ready, nodes_have, until

IMAGE = os.environ.get("RINGLINE_TEST_SERVERS_IMAGE", "ringline-servers:dev")
POSTGRES = """
set -e
if [ ! -d /data/pg ]; then
  printf %s "$PASSWORD" > /tmp/password
  initdb --pgdata=/data/pg --username=ringline --pwfile=/tmp/password --auth=scram-sha-256 >/dev/null
  echo 'host all all all scram-sha-256' >> /data/pg/pg_hba.conf
fi
exec postgres -D /data/pg -k /tmp -h '*' -c shared_buffers=32MB -c dynamic_shared_memory_type=mmap
"""
REDIS = 'exec redis-server --requirepass "$PASSWORD" --dir /data --appendonly yes --appendfsync always'
READY = {"postgres": "pg_isready -q -h 127.0.0.1", "redis": 'redis-cli -a "$PASSWORD" ping | grep -q PONG'}


def why_no_servers() -> str:
    """Why there is no image to run them from; empty when there is one."""
    if "RINGLINE_TEST_SERVERS_IMAGE" in os.environ or nodes_have(IMAGE):
        return ""
    return f"image {IMAGE} is on no node (tests/cluster/servers; RINGLINE_TEST_SERVERS_IMAGE names another)"


class Servers:
    """One pod with a container for each, behind one Service. Data outlives a container's restart."""

    def __init__(self, release: Release) -> None:
        self._release = release
        self._password = secrets.token_hex(16)

    def start(self) -> None:
        """Also makes the secrets `audit-db` and `scopes`, as the chart takes them."""
        release, password = self._release, self._password
        for name, key, url in (
            ("audit-db", "dsn", f"postgresql://ringline:{password}@servers:5432/postgres"),
            ("scopes", "url", f"redis://:{password}@servers:6379/0"),
        ):
            release.kubectl("create", "secret", "generic", name, f"--from-literal={key}={url}")
        service = {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "servers"},
            "spec": {"selector": {"app": "servers"}, "ports": [
                {"name": name, "port": port} for name, port in (("postgres", 5432), ("redis", 6379))
            ]},
        }  # fmt: skip
        for one in (service, self._pod()):
            release.kubectl("apply", "-f", "-", stdin=json.dumps(one))
        until("the servers answer", lambda: is_ready(release.get("pod", "servers")))

    def restart(self, server: str) -> None:
        """Ends the program at once; waits until another one answers."""

        def restarts() -> int:
            statuses = self._release.get("pod", "servers")["status"]["containerStatuses"]
            return next(int(one["restartCount"]) for one in statuses if one["name"] == server)

        before = restarts()
        stop = "kill -QUIT" if server == "postgres" else "kill -TERM"
        self._release.kubectl("exec", "servers", "-c", server, "--", "sh", "-c", f"{stop} 1")
        until("it was restarted", lambda: restarts() > before)
        until("it answers", lambda: is_ready(self._release.get("pod", "servers")))

    def _pod(self) -> dict[str, Any]:
        return {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "servers", "labels": {"app": "servers"}},
            "spec": {
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [self._container("postgres", POSTGRES), self._container("redis", REDIS)],
                "volumes": [{"name": name, "emptyDir": {}} for name in ("postgres", "redis", "tmp")],
            },
        }  # fmt: skip

    def _container(self, name: str, script: str) -> dict[str, Any]:
        return {
            "name": name,
            "image": IMAGE,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script],
            "env": [{"name": "PASSWORD", "value": self._password}],
            "readinessProbe": {"exec": {"command": ["sh", "-c", READY[name]]}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            "volumeMounts": [{"name": name, "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        }
