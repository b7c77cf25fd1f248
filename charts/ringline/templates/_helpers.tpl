{{- define "ringline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* Names end in -gateway-0 and the like, and a pod's name is a DNS label: 63 characters. */ -}}
{{- define "ringline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "ringline.name" . -}}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ringline.selector" -}}
app.kubernetes.io/name: {{ include "ringline.name" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- /* Of an object; `own` labels beat those of all: (dict "root" $ "component" "agent" "own" dict) */ -}}
{{- define "ringline.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "ringline.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: ringline
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with mergeOverwrite (dict) .root.Values.commonLabels (default dict .own) }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* metadata of an object: (dict "root" $ "component" "agent" "name" "x-agent" "annotations" dict "labels" dict) */ -}}
{{- define "ringline.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .root.Release.Namespace | quote }}
labels:
  {{- include "ringline.labels" (dict "root" .root "component" .component "own" .labels) | nindent 2 }}
{{- with mergeOverwrite (dict) .root.Values.commonAnnotations (default dict .annotations) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "ringline.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}
{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "ringline.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "ringline.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 .Values.podSecurityContext.runAsUser }}
runAsGroup: {{ int64 .Values.podSecurityContext.runAsGroup }}
fsGroup: {{ int64 .Values.podSecurityContext.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- /* Where pods go: (dict "root" $ "values" .Values.agent "component" "agent") */ -}}
{{- define "ringline.placement" -}}
{{- $own := default dict .values -}}
{{- $root := .root -}}
{{- with default $root.Values.nodeSelector $own.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $root.Values.tolerations $own.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $root.Values.affinity $own.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $root.Values.priorityClassName $own.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- $selector := dict "matchLabels" (include "ringline.selector" . | fromYaml) -}}
{{- with default $root.Values.topologySpreadConstraints $own.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (merge (dict) . (hasKey . "labelSelector" | ternary dict (dict "labelSelector" $selector))) | nindent 4 }}
  {{- end }}
{{- end }}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* A quantity of memory in bytes. */ -}}
{{- define "ringline.bytes" -}}
{{- $text := kindIs "float64" . | ternary (printf "%.0f" .) (toString .) -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "T" 1000000000000 "K" 1000 "k" 1000 "M" 1000000 "G" 1000000000 -}}
{{- $unit := regexFind "[A-Za-z]+$" $text -}}
{{- $number := regexFind "^[0-9]+" $text -}}
{{- if or (eq $number "") (ne (print $number $unit) $text) (and $unit (not (hasKey $units $unit))) -}}
{{- fail (printf "memory %q: expected a whole number with Ki, Mi or Gi, such as 256Mi" $text) -}}
{{- end -}}
{{- mul (int64 $number) (default 1 (get $units $unit)) -}}
{{- end -}}

{{- /* Bytes of one telemetry ring. */ -}}
{{- define "ringline.ringBytes" -}}
{{- $telemetry := default dict .Values.config.telemetry -}}
{{- add 65536 (mul 32 (int64 (default 131072 $telemetry.ring_entries))) -}}
{{- end -}}

{{- /* What /dev/shm of a pod may hold: of each worker (and feed) its ring and a dead predecessor's, and what was kept of
its last moments. (dict "root" $ "workers" 1) */ -}}
{{- define "ringline.shmBytes" -}}
{{- add 4194304 (mul 2 (int64 .workers) (int64 (include "ringline.ringBytes" .root))) -}}
{{- end -}}

{{- /* Resources of a worker: memory of its rings is added, which it pays for. */ -}}
{{- define "ringline.workerResources" -}}
{{- $rings := add 4194304 (mul 2 (int64 (include "ringline.ringBytes" .root))) -}}
{{- $resources := deepCopy .resources -}}
{{- range $kind := list "requests" "limits" -}}
{{- $memory := dig $kind "memory" "" $resources -}}
{{- if $memory -}}
{{- $_ := set (get $resources $kind) "memory" (toString (add (int64 (include "ringline.bytes" $memory)) $rings)) -}}
{{- end -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}

{{- define "ringline.drainSeconds" -}}
{{- dig "supervisor" "drain_s" 10 .Values.config -}}
{{- end -}}

{{- define "ringline.auditEngine" -}}
{{- dig "audit" "engine" "sqlite" .Values.config -}}
{{- end -}}

{{- /* The first throttle that counts over all symbols; empty when there is none. */ -}}
{{- define "ringline.wideThrottle" -}}
{{- if ne "redis" (dig "agent" "scopes" "memory" .Values.config) -}}
{{- range dig "trading" "throttles" list .Values.config -}}
{{- if and (has (default "" .per) (list "strategy" "global")) (not (dig "scope" "symbol" "" .)) -}}{{ .name }} {{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Where every worker finds the keys of the links; empty where links are open. */ -}}
{{- define "ringline.linkSecret" -}}
{{- if .Values.linkKeys.enabled -}}
{{- default (print (include "ringline.fullname" .) "-links") .Values.linkKeys.existingSecret -}}
{{- end -}}
{{- end -}}

{{- /* Where the secret is that the page's controls are signed with; empty where they are off. */ -}}
{{- define "ringline.controlSecret" -}}
{{- if and .Values.feed.enabled .Values.feed.controls.enabled -}}
{{- default (print (include "ringline.fullname" .) "-page") .Values.feed.controls.existingSecret -}}
{{- end -}}
{{- end -}}

{{- /* Replicas of a stage at most: (dict "root" $ "stage" "agent") */ -}}
{{- define "ringline.maxReplicas" -}}
{{- $values := get .root.Values .stage -}}
{{- if eq .stage "gateway" -}}1
{{- else if and (eq .stage "audit") (eq (include "ringline.auditEngine" .root) "sqlite") -}}1
{{- else if and (eq .stage "agent") (include "ringline.wideThrottle" .root) -}}1
{{- else -}}{{ max (int $values.maxReplicas) (int (default 1 $values.replicas)) }}
{{- end -}}
{{- end -}}

{{- /* A native sidecar: it starts before the workers, drains their rings to the end and leaves after them. It has no
readiness probe, so that nobody stops trading because telemetry does. */ -}}
{{- define "ringline.collector" -}}
- name: collector
  image: {{ include "ringline.image" . | quote }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  restartPolicy: Always
  args: [ringline, collector, --config, /etc/ringline/ringline.json]
  ports:
    - name: metrics
      containerPort: 9464
  livenessProbe:
    httpGet: {path: /healthz, port: metrics}
    initialDelaySeconds: 10
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  resources:
    {{- toYaml .Values.collector.resources | nindent 4 }}
  securityContext:
    {{- include "ringline.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/ringline/ringline.json, subPath: ringline.json, readOnly: true}
    - {name: shm, mountPath: /dev/shm}
    - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- /* What is kept: (dict "persistence" .Values.audit.persistence) */ -}}
{{- define "ringline.claim" -}}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: data
  {{- with .persistence.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  accessModes: [ReadWriteOnce]
  {{- with .persistence.storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ .persistence.size }}
{{- end -}}

{{- define "ringline.valuationEngine" -}}
{{- dig "valuation" "engine" "sqlite" .Values.config -}}
{{- end -}}

{{- /* What the gateway speaks: http or https. */ -}}
{{- define "ringline.gatewayScheme" -}}
{{- dig "gateway" "tls_cert_file" "" .Values.config | empty | ternary "http" "https" -}}
{{- end -}}

{{- /* Whether the operator's account and its right to the Leases are there: also in the upgrade that switches it off.
Helm removes what a manifest has no more all at once, Roles before Deployments, and without that right an operator that
leaves could not give its Leases back: the next one would wait until they expire. */ -}}
{{- define "ringline.leaseRights" -}}
{{- if or .Values.operator.enabled (lookup "apps/v1" "Deployment" .Release.Namespace (print (include "ringline.fullname" .) "-operator")) -}}true{{- end -}}
{{- end -}}
