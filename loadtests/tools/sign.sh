# Signs an event by Standard Webhooks with openssl. Source it:
#
#   . sign.sh; sign SECRET_FILE WEBHOOK_ID BODY     sets $timestamp and $signature

sign() {
  key=$(sed 's/^whsec_//' "$1" | base64 -d | od -An -v -tx1 | tr -d ' \n')
  timestamp=$(date +%s)
  signature="v1,$(printf '%s.%s.%s' "$2" "$timestamp" "$3" |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | base64)"
}
