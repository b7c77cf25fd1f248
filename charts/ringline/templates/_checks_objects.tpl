{{- /* What the API server would refuse of single objects, after others are made. */ -}}
{{- define "ringline.objectChecks" -}}
{{- $fullname := include "ringline.fullname" . -}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "%s = %q: names of Services begin with it, so it must begin with a letter and have only a-z, 0-9 and - (at most 40 are used)" (.Values.fullnameOverride | empty | ternary "the release's name, or nameOverride" "fullnameOverride") $fullname) -}}
{{- end -}}
{{- with .Values.gateway.service -}}
{{- if and .nodePort (eq .type "ClusterIP") -}}
{{- fail (printf "gateway.service.nodePort = %d: a Service of type ClusterIP has none; set gateway.service.type: NodePort, or leave it out" (int64 .nodePort)) -}}
{{- end -}}
{{- end -}}
{{- range $part := list "gateway" "agent" "exec" "audit" "feed" "valuation" "collector" "operator" "loadtest" -}}
{{- $resources := default dict (get $.Values $part).resources -}}
{{- $asked := default dict $resources.requests -}}
{{- $most := default dict $resources.limits -}}
{{- range $kind := list "memory" "ephemeral-storage" -}}
{{- if and (hasKey $asked $kind) (hasKey $most $kind) -}}
{{- if gt (int64 (include "ringline.bytes" (get $asked $kind))) (int64 (include "ringline.bytes" (get $most $kind))) -}}
{{- fail (printf "%s.resources.requests.%s = %v: at most %s.resources.limits.%s (%v)" $part $kind (get $asked $kind) $part $kind (get $most $kind)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (hasKey $asked "cpu") (hasKey $most "cpu") -}}
{{- if gt (float64 (include "ringline.millicpu" $asked.cpu)) (float64 (include "ringline.millicpu" $most.cpu)) -}}
{{- fail (printf "%s.resources.requests.cpu = %v: at most %s.resources.limits.cpu (%v)" $part $asked.cpu $part $most.cpu) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $index, $host := .Values.ingress.hosts -}}
{{- if regexMatch "^[0-9.]+$" $host -}}
{{- fail (printf "ingress.hosts[%d] = %s: a name is expected here, not an address" $index $host) -}}
{{- end -}}
{{- end -}}
{{- $class := get .Values.ingress.annotations "kubernetes.io/ingress.class" -}}
{{- if and $class .Values.ingress.className -}}
{{- fail (printf "ingress.annotations.kubernetes.io/ingress.class = %s: not beside ingress.className; the latter says the same" $class) -}}
{{- end -}}
{{- range $part := list "gateway" "audit" "valuation" -}}
{{- include "ringline.volumeCheck" (dict "root" $ "part" $part "wanted" (get $.Values $part).persistence) -}}
{{- end -}}
{{- end -}}

{{- /* Thousandths of a core. */ -}}
{{- define "ringline.millicpu" -}}
{{- $text := toString . -}}
{{- hasSuffix "m" $text | ternary (trimSuffix "m" $text) (mulf 1000 (float64 (trimSuffix "m" $text))) -}}
{{- end -}}

{{- /* The claims of a StatefulSet that is there cannot be changed: an upgrade would stop halfway. */ -}}
{{- define "ringline.volumeCheck" -}}
{{- $name := printf "%s-%s" (include "ringline.fullname" .root) .part -}}
{{- $live := default dict (lookup "apps/v1" "StatefulSet" .root.Release.Namespace $name) -}}
{{- $claims := dig "spec" "volumeClaimTemplates" list $live -}}
{{- range default list $claims -}}
{{- $size := dig "spec" "resources" "requests" "storage" "" . -}}
{{- $class := dig "spec" "storageClassName" "" . -}}
{{- if ne (include "ringline.bytes" $size) (include "ringline.bytes" $.wanted.size) -}}
{{- fail (printf "%s.persistence.size = %s: its volume was made with %s, and a StatefulSet cannot change that; enlarge the claims themselves, then kubectl delete statefulset %s --cascade=orphan and upgrade" $.part $.wanted.size $size $name) -}}
{{- end -}}
{{- if and $.wanted.storageClass (ne $class $.wanted.storageClass) -}}
{{- fail (printf "%s.persistence.storageClass = %s: its volume was made in class %q, and a StatefulSet cannot change that; move the data by hand" $.part $.wanted.storageClass $class) -}}
{{- end -}}
{{- end -}}
{{- end -}}
