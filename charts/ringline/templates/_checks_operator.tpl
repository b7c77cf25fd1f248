{{- /* What the Pipeline would be refused for by the API server, after other objects are made; and SLAs that would never
be judged. */ -}}
{{- define "ringline.operatorChecks" -}}
{{- $facts := .Files.Get "files/config.json" | fromJson -}}
{{- $own := default list .Values.ownEvents -}}
{{- if not (kindIs "invalid" .Values.gateway.slas.lagMs) -}}
{{- fail (printf "gateway.slas.lagMs = %d: the gateway has no lag, which a stage's senders measure; leave it out" (int64 .Values.gateway.slas.lagMs)) -}}
{{- end -}}
{{- $least := 0 -}}
{{- range $stage := list "gateway" "agent" "exec" "audit" -}}
{{- $values := get $.Values $stage -}}
{{- $most := int (include "ringline.maxReplicas" (dict "root" $ "stage" $stage)) -}}
{{- $least = add $least (min $most (int (default 1 $values.minReplicas))) -}}
{{- $judged := list -}}
{{- range $index, $sla := default list (default dict $values.slas).latency -}}
{{- $path := printf "%s.slas.latency[%d]" $stage $index -}}
{{- $pair := printf "%s at %d" $sla.event (int64 (default 9900 $sla.percentileBasisPoints)) -}}
{{- if has $pair $judged -}}
{{- fail (printf "%s = %s: given twice" $path $pair) -}}
{{- end -}}
{{- $judged = append $judged $pair -}}
{{- if not (has $sla.event (concat (get $facts.events $stage) $facts.events.any $own)) -}}
{{- range $other, $names := $facts.events -}}
{{- if has $sla.event $names -}}
{{- fail (printf "%s.event = %s: the %s measures it, so that here it would never be judged" $path $sla.event $other) -}}
{{- end -}}
{{- end -}}
{{- fail (printf "%s.event = %s: nobody measures such an event; here are %s, and those in ownEvents" $path $sla.event (concat (get $facts.events $stage) $facts.events.any $own | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.operator.replicaBudget -}}
{{- if lt (int64 .) (int64 $least) -}}
{{- fail (printf "operator.replicaBudget = %d: at least the sum of all minReplicas, with the gateway's one (%d)" (int64 .) $least) -}}
{{- end -}}
{{- end -}}
{{- $tuning := mergeOverwrite $facts.tuning (deepCopy .Values.operator.tuning) -}}
{{- if gt (int64 $tuning.lowerUsePerMille) (int64 $tuning.raiseUsePerMille) -}}
{{- fail (printf "operator.tuning.lowerUsePerMille = %d: at most raiseUsePerMille (%d), or what is lowered is raised again" (int64 $tuning.lowerUsePerMille) (int64 $tuning.raiseUsePerMille)) -}}
{{- end -}}
{{- end -}}
