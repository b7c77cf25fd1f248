#!/bin/sh
# One signed event by hey, which repeats what it is given: the first is accepted, the others are answered as
# the first was. So it measures the intake and never trades twice.
#
#   sh hey.sh [URL [SECRET_FILE [hey's options …]]]     such as: sh hey.sh URL FILE -z 30s -c 16 -q 50
set -eu
. "$(dirname "$0")/sign.sh"
url=${1:-http://127.0.0.1:8001/webhook/demo}
secret=${2:-ringline-data/secrets/demo.whsec}
[ $# -gt 2 ] && shift 2 || set -- -n 1000 -c 10
id=hey-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
body='{"type":"signal","symbol":"HEY","side":"buy","strategy":"hey","quantity":"10","price":"101.25"}'
sign "$secret" "$id" "$body"
exec hey "$@" -m POST -T application/json -H "webhook-id: $id" -H "webhook-timestamp: $timestamp" \
  -H "webhook-signature: $signature" -d "$body" "$url"
