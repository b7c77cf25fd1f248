{{- /* The chart's own part of the configuration: addresses, members, places of files. */ -}}
{{- define "ringline.ownConfig" -}}
data_dir: /data
gateway: {host: "0.0.0.0", port: 8001}
{{- $root := . }}
{{- $domain := ternary (printf ".%s.svc.%s." .Release.Namespace (trimSuffix "." .Values.clusterDomain)) "" (ne .Values.clusterDomain "") }}
{{- range $stage, $port := dict "agent" 8002 "exec" 8004 "audit" 8005 }}
{{ $stage }}:
  host: "0.0.0.0"
  port: {{ $port }}
  workers: {{ get $root.Values $stage | dig "workers" 1 }}
  members: dns
  service: {{ include "ringline.fullname" $root }}-{{ $stage }}{{ $domain }}
  max_replicas: {{ include "ringline.maxReplicas" (dict "root" $root "stage" $stage) }}
  health_port: {{ add 1000 $port }}
  {{- if eq $stage "audit" }}
  signing_key_file: /etc/ringline/audit/{{ $root.Values.audit.checkpointKey.key }}
  {{- end }}
{{- end }}
feed:
  enabled: {{ .Values.feed.enabled }}
  {{- if .Values.feed.enabled }}
  host: "0.0.0.0"
  port: 8006
  read_token_files: [/etc/ringline/feed/{{ .Values.feed.tokens.readKey }}]
  control_token_files: [/etc/ringline/feed/{{ .Values.feed.tokens.controlKey }}]
  # The page shows every pod: these are headless.
  collector_names:
    {{- range $service := list "gateway-pods" "agent" "exec" "audit" }}
    - {{ include "ringline.fullname" $root }}-{{ $service }}{{ $domain }}
    {{- end }}
  {{- if .Values.operator.enabled }}
  operator_url: http://{{ include "ringline.fullname" $root }}-operator{{ trimSuffix "." $domain }}:{{ .Values.operator.port }}/v1/pipelines/{{ .Release.Namespace }}/{{ include "ringline.fullname" $root }}
  {{- end }}
  {{- if .Values.feed.controls.enabled }}
  control_source: {{ .Values.feed.controls.source | quote }}
  gateway_url: {{ include "ringline.gatewayScheme" $root }}://{{ include "ringline.fullname" $root }}-gateway{{ trimSuffix "." $domain }}:{{ .Values.gateway.service.port }}
  {{- end }}
  {{- end }}
{{- if .Values.valuation.enabled }}
valuation:
  enabled: true
  host: "0.0.0.0"
  port: 8007
  read_token_files: [/etc/ringline/valuation/{{ .Values.valuation.tokens.readKey }}]
  control_token_files: [/etc/ringline/valuation/{{ .Values.valuation.tokens.controlKey }}]
  feed_url: http://{{ include "ringline.fullname" $root }}-feed{{ $domain }}:{{ .Values.feed.service.port }}
{{- end }}
# Links are told where the collector, which has no /data, finds them.
telemetry: {host: "0.0.0.0", port: 9464, directory: /dev/shm/ringline, links_directory: /dev/shm/links}
{{- if .Values.linkKeys.enabled }}
links: {key_file: /etc/ringline/links/{{ .Values.linkKeys.key }}}
{{- end }}
{{- end -}}

{{- define "ringline.sources" -}}
{{- $sources := default (dict "demo" dict) .Values.config.sources -}}
{{- range $name, $source := $sources }}
{{- $given := concat (default list (default dict $source).secret_files) (default list (default dict $source).secret_env) }}
{{ $name | quote }}:
  {{- if not $given }}
  secret_files: [/etc/ringline/webhooks/{{ $name }}.whsec]
  {{- end }}
  {{- with $source }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- if include "ringline.controlSecret" . }}
# What holders of the page's secret may do at most: a control a second on average.
{{ .Values.feed.controls.source | quote }}:
  accepts: [control]
  secret_files: [/etc/ringline/page/{{ .Values.feed.controls.key }}]
  rate_limit: {events: 60, period_s: 60}
{{- end }}
{{- end -}}

{{- /* Names of sources whose secret the chart has to give. */ -}}
{{- define "ringline.sourcesWithoutSecret" -}}
{{- $names := list -}}
{{- range $name, $source := default (dict "demo" dict) .Values.config.sources -}}
{{- if not (concat (default list (default dict $source).secret_files) (default list (default dict $source).secret_env)) -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{- define "ringline.config" -}}
{{- $own := include "ringline.ownConfig" . | fromYaml -}}
{{- range $section, $keys := $own -}}
{{- $given := get $.Values.config $section -}}
{{- if kindIs "map" $keys -}}
{{- range $key, $value := $keys -}}
{{- if hasKey (default dict $given) $key -}}
{{- fail (printf "config.%s.%s: the chart sets it; leave it out" $section $key) -}}
{{- end -}}
{{- end -}}
{{- else if hasKey $.Values.config $section -}}
{{- fail (printf "config.%s: the chart sets it; leave it out" $section) -}}
{{- end -}}
{{- end -}}
{{- $config := mergeOverwrite (deepCopy .Values.config) $own -}}
{{- $_ := set $config "sources" (include "ringline.sources" . | fromYaml) -}}
{{- toPrettyJson $config -}}
{{- end -}}
