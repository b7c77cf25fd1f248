#!/bin/sh
# Posts COUNT new signed events, one after the other, and prints how each was answered and how long it took:
#
#   sh curl.sh [URL [SECRET_FILE [COUNT]]]
set -eu
. "$(dirname "$0")/sign.sh"
url=${1:-http://127.0.0.1:8001/webhook/demo}
secret=${2:-ringline-data/secrets/demo.whsec}
run=$(od -An -N4 -tx4 /dev/urandom | tr -d ' ')
number=0
while [ "$number" -lt "${3:-10}" ]; do
  number=$((number + 1))
  body='{"type":"signal","symbol":"CURL.'$run'","side":"buy","strategy":"curl","quantity":"10","price":"101.25"}'
  sign "$secret" "curl-$run-$number" "$body"
  curl --silent --show-error --output /dev/null --write-out '%{http_code} %{time_total}\n' "$url" \
    --header "content-type: application/json" --header "webhook-id: curl-$run-$number" \
    --header "webhook-timestamp: $timestamp" --header "webhook-signature: $signature" --data-raw "$body"
done
