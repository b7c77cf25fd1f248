{{- /* Parts of "ringline.configChecks": the senders of webhooks. */ -}}

{{- define "ringline.checkSources" -}}
{{- $found := .found -}}
{{- $limits := .facts.limits -}}
{{- $secrets := int64 $limits.MAX_SECRETS_A_SOURCE -}}
{{- range $name, $source := .config.sources -}}
{{- $path := print "sources." $name -}}
{{- $count := len (concat $source.secret_files $source.secret_env) -}}
{{- if gt (int64 $count) $secrets -}}
{{- include "ringline.fault" (list $found (printf "%s: %d secrets; the limit is %d" $path $count $secrets)) -}}
{{- end -}}
{{- if not $source.accepts -}}
{{- include "ringline.fault" (list $found (printf "%s.accepts: empty, so that it could send nothing; allowed: candle, signal, control" $path)) -}}
{{- end -}}
{{- if and (eq $source.profile "standard") (ne $source.idempotency_key "ignored") -}}
{{- include "ringline.fault" (list $found (printf "%s.idempotency_key = '%s': profile standard signs its webhook-id; under an unsigned key a captured request could be posted again; allowed: ignored" $path $source.idempotency_key)) -}}
{{- end -}}
{{- range $field := list "allow_from" "trusted_proxies" -}}
{{- $ranges := get $source $field -}}
{{- if gt (len $ranges) (int $limits.MAX_ADDRESS_RANGES) -}}
{{- include "ringline.fault" (list $found (printf "%s.%s: %d entries; the limit is %d" $path $field (len $ranges) (int64 $limits.MAX_ADDRESS_RANGES))) -}}
{{- end -}}
{{- range $index, $text := $ranges -}}
{{- if not (include "ringline.isNetwork" $text) -}}
{{- include "ringline.fault" (list $found (printf "%s.%s[%d] = '%s': expected an address or a network such as 10.0.0.0/8" $path $field $index $text)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $source.profile "hmac" -}}
{{- include "ringline.checkHmac" (dict "found" $found "path" (print $path ".hmac") "hmac" $source.hmac) -}}
{{- end -}}
{{- $count = len (concat $source.tradingview.token_files $source.tradingview.token_env) -}}
{{- if gt (int64 $count) $secrets -}}
{{- include "ringline.fault" (list $found (printf "%s.tradingview: %d body tokens; the limit is %d" $path $count $secrets)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkHmac" -}}
{{- $found := .found -}}
{{- $path := .path -}}
{{- $hmac := .hmac -}}
{{- range $field := list "signature_header" "id_header" -}}
{{- if not (get $hmac $field) -}}
{{- include "ringline.fault" (list $found (printf "%s.%s: must not be empty" $path $field)) -}}
{{- end -}}
{{- end -}}
{{- $named := compact (list $hmac.signature_header $hmac.id_header $hmac.timestamp_header) -}}
{{- if lt (len (uniq $named)) (len $named) -}}
{{- include "ringline.fault" (list $found (printf "%s: signature_header, id_header and timestamp_header must differ" $path)) -}}
{{- end -}}
{{- if not (regexMatch "^[ -~]*$" $hmac.prefix) -}}
{{- include "ringline.fault" (list $found (printf "%s.prefix = '%s': allowed: printable ASCII" $path $hmac.prefix)) -}}
{{- end -}}
{{- if $hmac.signed -}}
{{- $names := list -}}
{{- range regexFindAll `\{.*?\}` $hmac.signed -1 -}}{{- $names = append $names . -}}{{- end -}}
{{- $left := regexReplaceAll `\{(id|timestamp|body)\}` $hmac.signed "" -}}
{{- if or (regexMatch `[{}]` $left) (regexMatch `[^\x00-\x7f]` $left) -}}
{{- include "ringline.fault" (list $found (printf "%s.signed = '%s': allowed between braces: id, timestamp, body" $path $hmac.signed)) -}}
{{- else if or (ne (len (regexFindAll `\{body\}` $hmac.signed -1)) 1) (not (hasSuffix "{body}" $hmac.signed)) -}}
{{- include "ringline.fault" (list $found (printf "%s.signed = '%s': must end with its only {body}" $path $hmac.signed)) -}}
{{- else if ne (has "{timestamp}" $names) (not (empty $hmac.timestamp_header)) -}}
{{- include "ringline.fault" (list $found (printf "%s.signed = '%s': a timestamp that is not signed proves nothing, and one that is signed needs timestamp_header" $path $hmac.signed)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Whether a text is an address or a network whose address has nothing beyond its mask: "true" or nothing. */ -}}
{{- define "ringline.isNetwork" -}}
{{- $parts := splitList "/" . -}}
{{- $address := first $parts -}}
{{- $mask := len $parts | eq 1 | ternary "" (last $parts) -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])" -}}
{{- $groups := list -}}
{{- $bits := 0 -}}
{{- if regexMatch (printf `^%s(\.%s){3}$` $octet $octet) $address -}}
{{- $groups = splitList "." $address -}}
{{- $bits = 8 -}}
{{- else if and (regexMatch "^[0-9a-fA-F:]+$" $address) (not (regexMatch ":::|^:[^:]|[^:]:$|[0-9a-fA-F]{5}" $address)) -}}
{{- $halves := splitList "::" $address -}}
{{- $before := compact (splitList ":" (first $halves)) -}}
{{- $after := list -}}
{{- if gt (len $halves) 1 -}}{{- $after = compact (splitList ":" (index $halves 1)) -}}{{- end -}}
{{- $missing := sub (sub 8 (len $before)) (len $after) | int -}}
{{- if or (and (eq (len $halves) 1) (eq $missing 0)) (and (eq (len $halves) 2) (gt $missing 0)) -}}
{{- $zeros := list -}}
{{- range until $missing -}}{{- $zeros = append $zeros "0" -}}{{- end -}}
{{- range concat $before $zeros $after -}}{{- $groups = append $groups (print "0x" .) -}}{{- end -}}
{{- $bits = 16 -}}
{{- end -}}
{{- end -}}
{{- $all := mul $bits (len $groups) -}}
{{- if and $groups (le (len $parts) 2) (or (eq (len $parts) 1) (regexMatch "^[0-9]{1,3}$" $mask)) -}}
{{- $taken := int64 (default $all (regexReplaceAll "^0+([0-9])" $mask "$1")) -}}
{{- if eq $mask "" -}}{{- $taken = $all -}}{{- end -}}
{{- $sound := le $taken $all -}}
{{- range $index, $group := $groups -}}
{{- $free := sub (mul $bits (add1 $index)) $taken | max 0 | min $bits | int -}}
{{- $unit := 1 -}}
{{- range until $free -}}{{- $unit = mul 2 $unit -}}{{- end -}}
{{- if ne (mod (int64 $group) $unit) 0 -}}{{- $sound = false -}}{{- end -}}
{{- end -}}
{{- if $sound -}}true{{- end -}}
{{- end -}}
{{- end -}}
