#!/bin/sh
# with_cluster.sh IMAGE COMMAND…: runs COMMAND with a Kubernetes to test on.
#
# KUBECONFIG's, where it is set; else a kind cluster that is made for it and removed, where kind is and a Docker
# that answers; else none, and the tests say that they were skipped. IMAGE is built where Docker has it not.
set -eu
image=$1
shift
# A client without a daemon is no Docker.
if [ -n "${KUBECONFIG:-}" ] || ! command -v kind >/dev/null || ! docker info >/dev/null 2>&1; then
  exec "$@"
fi
name=ringline-test-$$
folder=$(mktemp -d)
trap 'kind delete cluster --name "$name" >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
KUBECONFIG=$folder/kubeconfig
export KUBECONFIG
docker image inspect "$image" >/dev/null 2>&1 || docker build --quiet --tag "$image" . >/dev/null
docker build --quiet --tag ringline-servers:dev tests/cluster/servers >/dev/null
kind create cluster --name "$name" --wait 120s
kind load docker-image "$image" ringline-servers:dev --name "$name"
"$@"
