#!/bin/sh
# with_cluster.sh IMAGE COMMAND…: runs COMMAND with a Kubernetes to test on.
#
# KUBECONFIG's, where it is set; else a kind cluster that is made for it and removed, where kind and a container
# engine are; else none, and the tests say that they were skipped.
set -eu
image=$1
shift
if [ -n "${KUBECONFIG:-}" ] || ! command -v kind >/dev/null || ! command -v docker >/dev/null; then
  exec "$@"
fi
name=ringline-test-$$
folder=$(mktemp -d)
trap 'kind delete cluster --name "$name" >/dev/null 2>&1; rm -rf "$folder"' EXIT INT TERM
KUBECONFIG=$folder/kubeconfig
export KUBECONFIG
kind create cluster --name "$name" --wait 120s
docker build --quiet --tag ringline-servers:dev tests/cluster/servers >/dev/null
kind load docker-image "$image" ringline-servers:dev --name "$name"
"$@"
