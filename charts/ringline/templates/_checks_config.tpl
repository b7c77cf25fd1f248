{{- /* What is wrong between keys of the configuration: the pipeline refuses the same when it starts, in the same words
(tests compare them), but by then its pods are there and crash. Each part adds to `found`. */ -}}

{{- define "ringline.fault" -}}
{{- $_ := set (first .) "faults" (append (first .).faults (last .)) -}}
{{- end -}}

{{- /* A section with the defaults of what it leaves out. Maps of items are taken as they are given. */ -}}
{{- define "ringline.overlay" -}}
{{- $all := deepCopy .default -}}
{{- range $key, $value := default dict .given -}}
{{- if and (kindIs "map" $value) (has $key (list "breaker" "risk" "rate_limit" "hmac" "tradingview" "scope")) -}}
{{- $value = include "ringline.overlay" (dict "default" (get $all $key) "given" $value) | fromJson -}}
{{- end -}}
{{- $_ := set $all $key $value -}}
{{- end -}}
{{- toJson $all -}}
{{- end -}}

{{- define "ringline.configChecks" -}}
{{- $facts := .Files.Get "files/config.json" | fromJson -}}
{{- $given := include "ringline.config" . | fromJson -}}
{{- $config := dict "sources" dict -}}
{{- range $section, $default := $facts.defaults -}}
{{- if not (kindIs "map" $default) -}}
{{- $_ := set $config $section (hasKey $given $section | ternary (get $given $section) $default) -}}
{{- else if ne $section "sources" -}}
{{- $_ := set $config $section (include "ringline.overlay" (dict "default" $default "given" (get $given $section)) | fromJson) -}}
{{- end -}}
{{- end -}}
{{- range $name, $source := $given.sources -}}
{{- $_ := set $config.sources $name (include "ringline.overlay" (dict "default" $facts.items.Source "given" $source) | fromJson) -}}
{{- end -}}
{{- $found := dict "faults" list -}}
{{- $all := dict "config" $config "found" $found "facts" $facts "own" .Values.ownEvents -}}
{{- range $part := list "Links" "Journal" "Access" "Telemetry" "Valuation" "Trading" "Strategies" "Throttles" "Sources" -}}
{{- include (print "ringline.check" $part) $all -}}
{{- end -}}
{{- if $found.faults -}}
{{- fail (printf "\n  config.%s" (join "\n  config." $found.faults)) -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkLinks" -}}
{{- $links := .config.links -}}
{{- $share := div (int64 $links.credit) (int64 .facts.limits.KEY_SHARE) -}}
{{- if gt (int64 $links.depth) $share -}}
{{- include "ringline.fault" (list .found (printf "links.depth = %d: at most a quarter of links.credit (%d), so that one key never fills a link" (int64 $links.depth) $share)) -}}
{{- end -}}
{{- $least := mul 3 (int64 $links.heartbeat_ms) -}}
{{- if lt (int64 $links.dead_after_ms) $least -}}
{{- include "ringline.fault" (list .found (printf "links.dead_after_ms = %d: at least 3 × links.heartbeat_ms (%d), or one late heartbeat kills a link" (int64 $links.dead_after_ms) $least)) -}}
{{- end -}}
{{- if and $links.key_file $links.key_env -}}
{{- include "ringline.fault" (list .found "links.key_env: not beside links.key_file; one of them holds the keys, and linkKeys.enabled sets the file") -}}
{{- end -}}
{{- if not (or $links.key_file $links.key_env (eq $links.curve "off")) -}}
{{- include "ringline.fault" (list .found (printf "links.curve = %q: linkKeys.enabled is false, and links that others than this machine reach need links.key_file or links.key_env; \"off\" leaves them open" $links.curve)) -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkJournal" -}}
{{- $found := .found -}}
{{- $journal := .config.journal -}}
{{- $segments := int64 .facts.limits.MIN_JOURNAL_SEGMENTS -}}
{{- $least := mul $segments (int64 $journal.segment_bytes) -}}
{{- if lt (int64 $journal.max_bytes) $least -}}
{{- include "ringline.fault" (list $found (printf "journal.max_bytes = %d: at least %d × journal.segment_bytes (%d), or compaction has no room" (int64 $journal.max_bytes) $segments $least)) -}}
{{- end -}}
{{- range $name, $source := .config.sources -}}
{{- $twice := mul 2 (int64 $source.tolerance_s) -}}
{{- if le (int64 $journal.retention_s) $twice -}}
{{- include "ringline.fault" (list $found (printf "journal.retention_s = %d: must exceed 2 × sources.%s.tolerance_s (%d), or a captured request can be replayed after it is forgotten" (int64 $journal.retention_s) $name $twice)) -}}
{{- end -}}
{{- end -}}
{{- $space := .config.space -}}
{{- if gt (int64 $space.floor_bytes) (int64 $space.warn_bytes) -}}
{{- include "ringline.fault" (list $found (printf "space.floor_bytes = %d: at most space.warn_bytes (%d), so that the warning comes before the refusal" (int64 $space.floor_bytes) (int64 $space.warn_bytes))) -}}
{{- end -}}
{{- with .config.gateway -}}
{{- if ne (empty .tls_cert_file) (empty .tls_key_file) -}}
{{- include "ringline.fault" (list $found "gateway.tls_cert_file, gateway.tls_key_file: one without the other; TLS needs both") -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkAccess" -}}
{{- $found := .found -}}
{{- $most := int64 .facts.limits.MAX_SECRETS_A_SOURCE -}}
{{- range $name := list "feed" "valuation" -}}
{{- $section := get $.config $name -}}
{{- range $role := list "read" "control" -}}
{{- $count := len (concat (get $section (print $role "_token_files")) (get $section (print $role "_token_env"))) -}}
{{- if gt (int64 $count) $most -}}
{{- include "ringline.fault" (list $found (printf "%s: %d %s tokens; the limit is %d" $name $count $role $most)) -}}
{{- end -}}
{{- end -}}
{{- range $index, $origin := $section.allow_origins -}}
{{- if not (regexMatch `^https?://[^/\s?#]+$` $origin) -}}
{{- include "ringline.fault" (list $found (printf "%s.allow_origins[%d] = '%s': expected http(s)://HOST or …://HOST:PORT" $name $index $origin)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkTelemetry" -}}
{{- $found := .found -}}
{{- $known := list -}}
{{- range $names := .facts.events -}}{{- $known = concat $known $names -}}{{- end -}}
{{- $known = concat $known (default list .own) -}}
{{- range $event, $wanted := .config.telemetry.sla -}}
{{- if not (has $event $known) -}}
{{- include "ringline.fault" (list $found (printf "telemetry.sla.%s: nobody measures such an event; there are %s, and those in ownEvents" $event ($known | uniq | sortAlpha | join ", "))) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.checkValuation" -}}
{{- $found := .found -}}
{{- $valuation := .config.valuation -}}
{{- $item := .facts.items.Model -}}
{{- if and $valuation.feed_url (not (regexMatch `^https?://[^/\s?#]+/?$` $valuation.feed_url)) -}}
{{- include "ringline.fault" (list $found (printf "valuation.feed_url = '%s': expected http(s)://HOST:PORT" $valuation.feed_url)) -}}
{{- end -}}
{{- if not (hasKey $valuation.models $valuation.model) -}}
{{- include "ringline.fault" (list $found (printf "valuation.model = '%s': is none of valuation.models (%s)" $valuation.model (default "none" (keys $valuation.models | sortAlpha | join ", ")))) -}}
{{- end -}}
{{- range $name, $given := $valuation.models -}}
{{- $model := include "ringline.overlay" (dict "default" $item "given" $given) | fromJson -}}
{{- if and (eq $model.kind "custom") (not $model.source) -}}
{{- include "ringline.fault" (list $found (printf "valuation.models.%s.source: missing; a custom model is FILE.py:CLASS or an entry point" $name)) -}}
{{- end -}}
{{- if and (has $model.kind (list "vwap" "ewma" "median")) (gt (int64 $model.bars) (int64 $valuation.history_bars)) -}}
{{- include "ringline.fault" (list $found (printf "valuation.models.%s.bars = %d: more than valuation.history_bars (%d)" $name (int64 $model.bars) (int64 $valuation.history_bars))) -}}
{{- end -}}
{{- end -}}
{{- end -}}
