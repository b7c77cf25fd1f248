{{- /* Combinations that would lose data, double a limit or never work. */ -}}
{{- define "ringline.checks" -}}
{{- include "ringline.objectChecks" . -}}
{{- include "ringline.podChecks" . -}}
{{- if eq (int .Values.gateway.replicas) 0 -}}
{{- fail "gateway.replicas = 0: nothing would be accepted, and what its journal holds would never be settled; allowed: 1. To stop a pipeline for a while, uninstall it: volumes and secrets stay" -}}
{{- end -}}
{{- if gt (int .Values.gateway.replicas) 1 -}}
{{- fail (printf "gateway.replicas = %d: there is one gateway with one journal; a second one would accept the same event again. Allowed: 1" (int .Values.gateway.replicas)) -}}
{{- end -}}
{{- $sqlite := eq (include "ringline.auditEngine" .) "sqlite" -}}
{{- if and $sqlite (gt (int (default 1 .Values.audit.replicas)) 1) -}}
{{- fail (printf "audit.replicas = %d: SQLite allows one writer, and each replica would keep a chain of its own; set config.audit.engine: postgres for more" (int .Values.audit.replicas)) -}}
{{- end -}}
{{- if and $sqlite (or (gt (int .Values.audit.workers) 1) (gt (int .Values.audit.minReplicas) 1)) -}}
{{- fail "audit.workers, audit.minReplicas: SQLite allows one writer; set config.audit.engine: postgres for more" -}}
{{- end -}}
{{- if and $sqlite .Values.audit.postgres.existingSecret -}}
{{- fail "audit.postgres.existingSecret: is used only with config.audit.engine: postgres" -}}
{{- end -}}
{{- if and (not $sqlite) (not .Values.audit.postgres.existingSecret) -}}
{{- fail "config.audit.engine = postgres: audit.postgres.existingSecret must name a secret with the DSN" -}}
{{- end -}}
{{- $redis := eq "redis" (dig "agent" "scopes" "memory" .Values.config) -}}
{{- if and $redis (not .Values.agent.redis.existingSecret) -}}
{{- fail "config.agent.scopes = redis: agent.redis.existingSecret must name a secret with the server's URL" -}}
{{- end -}}
{{- if and .Values.agent.redis.existingSecret (not $redis) -}}
{{- fail "agent.redis.existingSecret: is used only with config.agent.scopes: redis" -}}
{{- end -}}
{{- with include "ringline.wideThrottle" . | trim -}}
{{- if or (gt (int (default 1 $.Values.agent.replicas)) 1) (gt (int $.Values.agent.workers) 1) (gt (int $.Values.agent.minReplicas) 1) -}}
{{- fail (printf "agent.replicas, agent.workers, agent.minReplicas: throttle %s counts over all symbols, in the memory of one agent; several would double its limit. Allowed: 1" .) -}}
{{- end -}}
{{- end -}}
{{- range $stage := list "agent" "exec" "audit" -}}
{{- $values := get $.Values $stage -}}
{{- if and $.Values.operator.enabled (not (kindIs "invalid" $values.replicas)) -}}
{{- fail (printf "%s.replicas = %d: the operator decides it; leave it out (limits are %s.minReplicas and %s.maxReplicas), or set operator.enabled: false" $stage (int $values.replicas) $stage $stage) -}}
{{- end -}}
{{- if gt (int $values.minReplicas) (int $values.maxReplicas) -}}
{{- fail (printf "%s.minReplicas = %d: at most %s.maxReplicas (%d)" $stage (int $values.minReplicas) $stage (int $values.maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.feed.tokens.readKey .Values.feed.tokens.controlKey -}}
{{- fail (printf "feed.tokens.readKey = %s: is feed.tokens.controlKey as well, so that whoever reads could control; each role needs a key of its own" .Values.feed.tokens.readKey) -}}
{{- end -}}
{{- if and .Values.valuation.enabled (eq .Values.valuation.tokens.readKey .Values.valuation.tokens.controlKey) -}}
{{- fail (printf "valuation.tokens.readKey = %s: is valuation.tokens.controlKey as well, so that whoever reads could control; each role needs a key of its own" .Values.valuation.tokens.readKey) -}}
{{- end -}}
{{- if dig "feed" "control_source" "" .Values.config -}}
{{- fail "config.feed.control_source: the page's pod has the secret of no source but its own, which feed.controls makes; leave it out" -}}
{{- end -}}
{{- with .Values.feed.controls -}}
{{- if .enabled -}}
{{- if not $.Values.feed.enabled -}}
{{- fail "feed.controls.enabled: the page is served by the feed; set feed.enabled: true" -}}
{{- end -}}
{{- if not (dig "feed" "page" true $.Values.config) -}}
{{- fail "feed.controls.enabled: they are on the page; leave config.feed.page out, or set it to true" -}}
{{- end -}}
{{- if hasKey (default dict $.Values.config.sources) .source -}}
{{- fail (printf "feed.controls.source = %s: config.sources has it already, with a secret and rights of its own; name a source for the page alone" .source) -}}
{{- end -}}
{{- if and (eq .source "demo") (not $.Values.config.sources) -}}
{{- fail "feed.controls.source = demo: that is the source of webhooks; name a source for the page alone" -}}
{{- end -}}
{{- $webhooks := default (print (include "ringline.fullname" $) "-webhooks") $.Values.webhookSecrets.existingSecret -}}
{{- $tokens := default (print (include "ringline.fullname" $) "-feed") $.Values.feed.tokens.existingSecret -}}
{{- if eq .existingSecret $webhooks -}}
{{- fail (printf "feed.controls.existingSecret = %s: holds the secrets of webhooks, which the page's pod must not have; name a secret for the page alone" .existingSecret) -}}
{{- end -}}
{{- if eq .existingSecret $tokens -}}
{{- fail (printf "feed.controls.existingSecret = %s: holds the feed's tokens; name a secret for the page alone" .existingSecret) -}}
{{- end -}}
{{- with lookup "v1" "Secret" $.Release.Namespace $tokens -}}
{{- if not (get (default dict .data) $.Values.feed.tokens.controlKey) -}}
{{- fail (printf "feed.controls.enabled: secret %s has no key %s, so that nobody could use them; give it a control token" $tokens $.Values.feed.tokens.controlKey) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if .Values.valuation.enabled -}}
{{- if and (dig "valuation" "feed" true .Values.config) (not .Values.feed.enabled) -}}
{{- fail "valuation.enabled: it takes marks and fills from the feed; set feed.enabled: true, or config.valuation.feed: false" -}}
{{- end -}}
{{- $server := has (include "ringline.valuationEngine" .) (list "postgres" "redis") -}}
{{- if and $server (not .Values.valuation.store.existingSecret) -}}
{{- fail (printf "config.valuation.engine = %s: valuation.store.existingSecret must name a secret with the server's DSN or URL" (include "ringline.valuationEngine" .)) -}}
{{- end -}}
{{- if and .Values.valuation.store.existingSecret (not $server) -}}
{{- fail "valuation.store.existingSecret: is used only with config.valuation.engine: postgres or redis" -}}
{{- end -}}
{{- else if dig "valuation" "enabled" false .Values.config -}}
{{- fail "config.valuation.enabled: in this chart it is valuation.enabled" -}}
{{- end -}}
{{- $journal := int64 (dig "journal" "max_bytes" 1073741824 .Values.config) -}}
{{- if le (int64 (include "ringline.bytes" .Values.gateway.persistence.size)) $journal -}}
{{- fail (printf "gateway.persistence.size = %s: must exceed config.journal.max_bytes (%d), or the disk is full before the journal is" .Values.gateway.persistence.size $journal) -}}
{{- end -}}
{{- include "ringline.operatorChecks" . -}}
{{- include "ringline.configChecks" . -}}
{{- end -}}
