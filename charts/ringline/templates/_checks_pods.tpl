{{- /* What the API server would refuse of pods although each value has its shape: what the chart itself uses, what is
there twice, and what does not go together. */ -}}
{{- define "ringline.podChecks" -}}
{{- include "ringline.labelCheck" . -}}
{{- range $place := list "gateway" "agent" "exec" "audit" "valuation" "operator" -}}
{{- $own := get $.Values $place -}}
{{- range $field := list "extraEnv" "extraVolumes" "extraVolumeMounts" "tolerations" "topologySpreadConstraints" -}}
{{- $entries := list -}}
{{- if or (hasPrefix "extra" $field) (not (get $own $field)) -}}
{{- range $index, $one := default list (get $.Values $field) -}}
{{- $entries = append $entries (dict "path" (printf "%s[%d]" $field $index) "volumes" $.Values.extraVolumes "is" $one) -}}
{{- end -}}
{{- end -}}
{{- range $index, $one := default list (get $own $field) -}}
{{- $entries = append $entries (dict "path" (printf "%s.%s[%d]" $place $field $index) "volumes" (concat (default list $.Values.extraVolumes) (default list $own.extraVolumes)) "is" $one) -}}
{{- end -}}
{{- include (print "ringline.check." $field) $entries -}}
{{- end -}}
{{- end -}}
{{- range $field := list "gatewayFrom" "feedFrom" "valuationFrom" "metricsFrom" -}}
{{- range $index, $peer := default list (get $.Values.networkPolicy $field) -}}
{{- if and (hasKey $peer "ipBlock") (gt (len $peer) 1) -}}
{{- fail (printf "networkPolicy.%s[%d].ipBlock: not beside podSelector or namespaceSelector; make two peers of it" $field $index) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.labelCheck" -}}
{{- $own := list "helm.sh/chart" -}}
{{- range $name := list "name" "instance" "component" "version" "part-of" "managed-by" -}}
{{- $own = append $own (print "app.kubernetes.io/" $name) -}}
{{- end -}}
{{- range $path := list "commonLabels" "podLabels" "gateway.podLabels" "agent.podLabels" "exec.podLabels" "audit.podLabels" "valuation.podLabels" "operator.podLabels" "serviceMonitor.labels" "prometheusRule.labels" "dashboard.labels" -}}
{{- range $key, $value := include "ringline.at" (list $path $.Values) | fromJson -}}
{{- if has $key $own -}}
{{- fail (printf "%s.%s = %s: the chart sets this label, by which its objects find each other; leave it out" $path $key $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $path := list "commonAnnotations" "podAnnotations" "gateway.podAnnotations" "agent.podAnnotations" "exec.podAnnotations" "audit.podAnnotations" "valuation.podAnnotations" "operator.podAnnotations" "serviceAccount.annotations" "gateway.service.annotations" "feed.service.annotations" "valuation.service.annotations" "gateway.persistence.annotations" "audit.persistence.annotations" "valuation.persistence.annotations" "loadtest.persistence.annotations" "ingress.annotations" -}}
{{- range $key, $value := include "ringline.at" (list $path $.Values) | fromJson -}}
{{- if regexMatch "^(helm[.]sh/hook|meta[.]helm[.]sh/|ringline[.]dev/|checksum/config$)" $key -}}
{{- fail (printf "%s.%s = %s: the chart or Helm sets this annotation; leave it out" $path $key $value) -}}
{{- end -}}
{{- if and (contains "podAnnotations" $path) (regexMatch "^(container[.]apparmor[.]security[.]beta|container[.]seccomp[.]security[.]alpha|seccomp[.]security[.]alpha)[.]kubernetes[.]io/" $key) -}}
{{- fail (printf "%s.%s = %s: the chart's security contexts say this, and Kubernetes has them as fields; leave it out" $path $key $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* A map of the values by its dotted path: (list "agent.podLabels" .Values) */ -}}
{{- define "ringline.at" -}}
{{- $found := last . -}}
{{- range $name := splitList "." (first .) -}}
{{- $found = default dict (get $found $name) -}}
{{- end -}}
{{- toJson $found -}}
{{- end -}}

{{- define "ringline.check.extraEnv" -}}
{{- $seen := list -}}
{{- range . -}}
{{- if has .is.name (list "POD_NAME" "RINGLINE_AUDIT_DSN" "RINGLINE_SCOPES_URL" "RINGLINE_VALUATION_DSN") -}}
{{- fail (printf "%s.name = %s: the chart sets this variable; leave it out" .path .is.name) -}}
{{- end -}}
{{- if has .is.name $seen -}}
{{- fail (printf "%s.name = %s: given twice; a stage's variables are added to those of all" .path .is.name) -}}
{{- end -}}
{{- if and .is.value .is.valueFrom -}}
{{- fail (printf "%s.value, %s.valueFrom: one of them says what %s is" .path .path .is.name) -}}
{{- end -}}
{{- $seen = append $seen .is.name -}}
{{- end -}}
{{- end -}}

{{- define "ringline.check.extraVolumes" -}}
{{- $seen := list -}}
{{- range . -}}
{{- if has .is.name (list "checkpoint-key" "config" "data" "feed" "links" "page" "reports" "shm" "test" "tmp" "valuation" "webhooks") -}}
{{- fail (printf "%s.name = %s: the chart has a volume of this name; choose another" .path .is.name) -}}
{{- end -}}
{{- if has .is.name $seen -}}
{{- fail (printf "%s.name = %s: given twice; a stage's volumes are added to those of all" .path .is.name) -}}
{{- end -}}
{{- $seen = append $seen .is.name -}}
{{- end -}}
{{- end -}}

{{- define "ringline.check.extraVolumeMounts" -}}
{{- $seen := list -}}
{{- $secrets := list "/etc/ringline/audit" "/etc/ringline/feed" "/etc/ringline/links" "/etc/ringline/page" "/etc/ringline/ringline.json" "/etc/ringline/valuation" "/etc/ringline/webhooks" "/test" -}}
{{- range $mount := . -}}
{{- $there := false -}}
{{- range default list .volumes -}}{{- if eq .name $mount.is.name -}}{{- $there = true -}}{{- end -}}{{- end -}}
{{- if not $there -}}
{{- fail (printf "%s.name = %s: no volume of this name is in extraVolumes beside it; add one" .path .is.name) -}}
{{- end -}}
{{- $path := clean .is.mountPath -}}
{{- $below := print (trimSuffix "/" $path) "/" -}}
{{- range $used := concat $secrets (list "/data" "/dev/shm" "/reports" "/tmp") -}}
{{- if or (hasPrefix $below (print $used "/")) (and (has $used $secrets) (hasPrefix (print $used "/") $below)) -}}
{{- fail (printf "%s.mountPath = %s: the chart mounts %s, which this would hide or lie in; choose another path" $mount.path $mount.is.mountPath $used) -}}
{{- end -}}
{{- end -}}
{{- if has $path $seen -}}
{{- fail (printf "%s.mountPath = %s: given twice; a stage's mounts are added to those of all" .path .is.mountPath) -}}
{{- end -}}
{{- range $key := list "subPath" "subPathExpr" -}}
{{- if has ".." (splitList "/" (default "" (get $mount.is $key))) -}}
{{- fail (printf "%s.%s = %s: stays within the volume; leave out .." $mount.path $key (get $mount.is $key)) -}}
{{- end -}}
{{- end -}}
{{- if and .is.subPath .is.subPathExpr -}}
{{- fail (printf "%s.subPath, %s.subPathExpr: one of them says which part of the volume is mounted" .path .path) -}}
{{- end -}}
{{- $seen = append $seen $path -}}
{{- end -}}
{{- end -}}

{{- define "ringline.check.tolerations" -}}
{{- range . -}}
{{- $exists := eq "Exists" (default "Equal" .is.operator) -}}
{{- if and (not .is.key) (not $exists) -}}
{{- fail (printf "%s.key: without one the operator is Exists, which tolerates all" .path) -}}
{{- end -}}
{{- if and $exists .is.value -}}
{{- fail (printf "%s.value = %s: operator Exists compares none; leave it out" .path .is.value) -}}
{{- end -}}
{{- if and (not (kindIs "invalid" .is.tolerationSeconds)) (ne "NoExecute" (default "" .is.effect)) -}}
{{- fail (printf "%s.tolerationSeconds = %d: is for effect NoExecute alone" .path (int64 .is.tolerationSeconds)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.check.topologySpreadConstraints" -}}
{{- $seen := list -}}
{{- range $entry := . -}}
{{- $pair := printf "%s, %s" .is.topologyKey .is.whenUnsatisfiable -}}
{{- if has $pair $seen -}}
{{- fail (printf "%s = %s: given twice" .path $pair) -}}
{{- end -}}
{{- if and .is.minDomains (ne "DoNotSchedule" .is.whenUnsatisfiable) -}}
{{- fail (printf "%s.minDomains = %d: is for whenUnsatisfiable DoNotSchedule alone" .path (int64 .is.minDomains)) -}}
{{- end -}}
{{- $keys := hasKey .is "labelSelector" | ternary (keys (default dict (default dict .is.labelSelector).matchLabels)) (list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component") -}}
{{- range default list (default dict .is.labelSelector).matchExpressions -}}{{- $keys = append $keys .key -}}{{- end -}}
{{- range default list .is.matchLabelKeys -}}
{{- if has . $keys -}}
{{- fail (printf "%s.matchLabelKeys: %s is in the labelSelector already" $entry.path .) -}}
{{- end -}}
{{- end -}}
{{- $seen = append $seen $pair -}}
{{- end -}}
{{- end -}}
