"""Applies a CustomResourceDefinition as the pod's service account: Helm itself does so only once."""

import http.client
import os
import pathlib
import ssl
import sys

SECRETS = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/pipelines.ringline.dev"

connection = http.client.HTTPSConnection(
    os.environ["KUBERNETES_SERVICE_HOST"],
    int(os.environ["KUBERNETES_SERVICE_PORT"]),
    timeout=30,
    context=ssl.create_default_context(cafile=str(SECRETS / "ca.crt")),
)
connection.request(
    "PATCH",
    f"{PATH}?fieldManager=ringline-chart&force=true",
    body=pathlib.Path(sys.argv[1]).read_bytes(),
    headers={
        "Authorization": f"Bearer {(SECRETS / 'token').read_text()}",
        "Content-Type": "application/apply-patch+yaml",
    },
)
answer = connection.getresponse()
text = answer.read().decode(errors="replace")
if answer.status not in (200, 201):
    sys.exit(f"the CustomResourceDefinition was not applied: {answer.status} {answer.reason}: {text[:500]}")
print("the CustomResourceDefinition is applied")
