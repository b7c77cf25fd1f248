"""The rights that an operator needs, and an access with no others: for tests on a cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline_operator.kube.access import Access
from pipeline_operator.kube.client import Api
from pipeline_operator.trial.stand import Stand

RBAC = "/apis/rbac.authorization.k8s.io/v1"

READS = ["get", "list", "watch"]
RULES: list[dict[str, Any]] = [
    {"apiGroups": ["ringline.dev"], "resources": ["pipelines"], "verbs": READS},
    {"apiGroups": ["ringline.dev"], "resources": ["pipelines/status"], "verbs": ["patch"]},
    {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": READS},
    {
        "apiGroups": ["apps"],
        "resources": ["statefulsets/scale"],
        "resourceNames": ["agent", "gateway"],
        "verbs": ["patch"],
    },
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    {"apiGroups": ["autoscaling"], "resources": ["horizontalpodautoscalers"], "verbs": ["list", "watch"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "resourceNames": ["ringline-operator"],
        "verbs": ["get", "update"],
    },
]


async def restricted(stand: Stand, rules: list[dict[str, Any]], name: str = "operator") -> Access:
    """An access with these rights in the stand's namespace and no others; `name`: of its account and role."""
    namespace, api = stand.namespace, stand.api
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
    await api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", account)
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name}}
    await api.create(f"{RBAC}/namespaces/{namespace}/roles", {**role, "rules": rules})
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }
    await api.create(f"{RBAC}/namespaces/{namespace}/rolebindings", binding)
    return await access_of(api, stand.access, namespace, name)


async def access_of(api: Api, admin: Access, namespace: str, account: str) -> Access:
    """The access of this service account, by a token that `api` may ask for, to where `admin` leads."""
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    token = (await api.create(path, request))["status"]["token"]
    info = replace(
        admin.info,
        token=token,
        certificate_data=None,
        certificate_path=None,
        private_key_data=None,
        private_key_path=None,
        username=None,
        password=None,
    )
    return Access(info, rotates=False)
