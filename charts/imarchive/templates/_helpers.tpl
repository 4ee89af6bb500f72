{{- define "imarchive.labels" -}}
app.kubernetes.io/name: imarchive
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (replace "+" "_" .Chart.Version) }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* The Deployment's selector, which can never be changed. */}}
{{- define "imarchive.selector" -}}
app.kubernetes.io/name: imarchive
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "imarchive.image" -}}
{{- with .Values.image }}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- /* What the restricted Pod Security Standard asks of a pod, and of a container. */}}
{{- define "imarchive.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "imarchive.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Who a pod is, for the Lease. */}}
{{- define "imarchive.environment" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- end }}

{{- /*
Replicas on different nodes, if that is possible; those of an old template do not count. A second constraint, by zone, would
make the scheduler ignore both where nodes have no zone.
*/}}
{{- define "imarchive.spread" -}}
{{- $selector := dict "matchLabels" (include "imarchive.selector" . | fromYaml) }}
{{- $spread := dict "topologyKey" "kubernetes.io/hostname" "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway"
  "matchLabelKeys" (list "pod-template-hash") }}
{{- $constraints := list }}
{{- range .Values.topologySpreadConstraints | default (list $spread) }}
{{- $constraints = append $constraints (merge (dict) . (dict "labelSelector" $selector)) }}
{{- end }}
{{- toYaml $constraints }}
{{- end }}
