{{- define "lethe.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "lethe.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "lethe.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "lethe.selectorLabels" -}}
app.kubernetes.io/name: {{ include "lethe.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: manager
{{- end -}}

{{- define "lethe.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: {{ include "lethe.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "lethe.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "lethe.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- required "serviceAccount.name must name an existing account where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "lethe.ledgerClaim" -}}
{{- default (printf "%s-ledger" (include "lethe.fullname" .)) .Values.ledger.existingClaim -}}
{{- end -}}

{{- define "lethe.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{- $tag := required "image.tag (or image.digest) must be set: this chart has no appVersion to fall back on" (.Values.image.tag | default .Chart.AppVersion) -}}
{{- if eq $tag "latest" -}}
{{- fail "image.tag must not be latest: what erases data runs in a version that can be named" -}}
{{- end -}}
{{ .Values.image.repository }}:{{ $tag }}
{{- end -}}
{{- end -}}

{{- /* Of several replicas the one that has the ledger answers; it labels itself. */ -}}
{{- define "lethe.serviceSelector" -}}
{{ include "lethe.selectorLabels" . }}
{{- if .Values.ledger.postgresql.urlSecret.name }}
privacy.lethe.dev/role: active
{{- end }}
{{- end -}}

{{- /* The operator knows the configurations by this name, but where cert-manager looks after them for some namespaces only. */ -}}
{{- define "lethe.admissionName" -}}
{{- if .Values.namespaces -}}
{{ include "lethe.fullname" . }}-admission
{{- else -}}
lethe-admission
{{- end -}}
{{- end -}}

{{- define "lethe.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "lethe.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}
