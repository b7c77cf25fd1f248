{{- /* Values that are not there get the chart's own: `helm upgrade --reuse-values` gives a new chart the old one's
values, which lack what is new. Every template begins with this, for Helm renders them in an order of its own. What is
somebody's own choice as a whole (SLAs, resources, the configuration) is left empty: null takes it away. */ -}}
{{- define "ringline.complete" -}}
{{- include "ringline.fill" (list (.Files.Get "files/values.json" | fromJson) .Values) -}}
{{- end -}}

{{- define "ringline.fill" -}}
{{- $values := last . -}}
{{- range $key, $default := first . -}}
{{- $missing := not (hasKey $values $key) -}}
{{- if not $missing -}}{{- $missing = kindIs "invalid" (get $values $key) -}}{{- end -}}
{{- if has $key (list "config" "slas" "resources") -}}
{{- if $missing -}}{{- $_ := set $values $key dict -}}{{- end -}}
{{- else if $missing -}}
{{- $_ := set $values $key (kindIs "map" $default | ternary (toJson $default | fromJson) $default) -}}
{{- else if and (kindIs "map" $default) (kindIs "map" (get $values $key)) -}}
{{- include "ringline.fill" (list $default (get $values $key)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
