{{- /*
What values say together and no schema can tell, and what the cluster has already: refused with a word on what to do, before
anything is installed. `lookup` finds nothing in `helm template`.
*/ -}}
{{- define "lethe.check" -}}
{{- $postgresql := .Values.ledger.postgresql.urlSecret.name -}}
{{- if and (gt (int .Values.replicas) 1) (not $postgresql) -}}
{{- fail (printf "replicas is %d, but the ledger is a file, which one process has open: set replicas to 1, or keep the ledger in PostgreSQL (ledger.postgresql.urlSecret.name)" (int .Values.replicas)) -}}
{{- end -}}
{{- if and $postgresql .Values.ledger.existingClaim -}}
{{- fail "ledger.existingClaim and ledger.postgresql.urlSecret.name are both set: the ledger is in one place; clear one of them" -}}
{{- end -}}
{{- if .Values.podDisruptionBudget.enabled -}}
{{- if lt (int .Values.replicas) 2 -}}
{{- fail "podDisruptionBudget.enabled needs replicas above 1: one Pod cannot both be protected and let its node be drained" -}}
{{- else if ge (int .Values.podDisruptionBudget.maxUnavailable) (int .Values.replicas) -}}
{{- fail "podDisruptionBudget.maxUnavailable must be below replicas, or it protects nothing" -}}
{{- end -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service: it finds the metrics by that Service" -}}
{{- end -}}
{{- if and .Values.admission.certManager.issuerRef (not .Values.admission.certManager.issuerRef.name) -}}
{{- fail "admission.certManager.issuerRef needs a name" -}}
{{- end -}}
{{- if .Values.namespaces -}}
{{- if and .Values.admission.enabled (not .Values.admission.certManager.enabled) -}}
{{- fail "admission.enabled with namespaces needs admission.certManager.enabled: the operator has no right over the cluster with which it could tell the API server its own certificate. Or set admission.enabled=false: approvals are then unverified" -}}
{{- end -}}
{{- if .Values.exports.serve -}}
{{- fail "exports.serve must be false with namespaces: to check who asks for an export needs TokenReviews, a right over the whole cluster. Exports can go to a DataStore" -}}
{{- end -}}
{{- range .Values.localRoots -}}
{{- if not (has .namespace $.Values.namespaces) -}}
{{- fail (printf "localRoots: namespace %s is not one of namespaces" .namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "lethe.checkOthers" . -}}
{{- end -}}

{{- /*
Two operators that serve the same namespaces with two ledgers would each erase without the other's holds. Whoever installs for some
namespaces only may not be allowed to look.
*/ -}}
{{- define "lethe.checkOthers" -}}
{{- if or (not .Values.namespaces) .Values.crds.enabled -}}
{{- $owned := list (lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "erasurerequests.privacy.lethe.dev") -}}
{{- if .Values.admission.enabled -}}
{{- $owned = append $owned (lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" (include "lethe.admissionName" .)) -}}
{{- end -}}
{{- range $object := $owned -}}
{{- if $object -}}
{{- $annotations := $object.metadata.annotations | default dict -}}
{{- $release := index $annotations "meta.helm.sh/release-name" -}}
{{- $namespace := index $annotations "meta.helm.sh/release-namespace" -}}
{{- if and $release (or (ne $release $.Release.Name) (ne $namespace $.Release.Namespace)) -}}
{{- fail (printf "this cluster has Lethe already: %s %s belongs to release %s in namespace %s. Upgrade that one. A second one beside it must be kept to namespaces that the first does not serve: set namespaces, and crds.enabled=false" $object.kind $object.metadata.name $release $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
