#!/usr/bin/env bash
# Holds the samples, both install trees and the chart with each set of values against the schemas of their kinds, the CRDs' and
# Kubernetes' own. The schemas are made here, so that nothing is fetched.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

say "== manifests conform to their schemas"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/schemas" "$work/trees"
(cd hack/controlplane && go mod download k8s.io/kubernetes)
kubernetes=$(cd hack/controlplane && go list -m -f '{{.Dir}}' k8s.io/kubernetes)
go run ./hack/schemas "$kubernetes/api/openapi-spec/swagger.json" "$work/schemas"

for tree in default webhook postgresql samples; do bin/kustomize build "config/$tree" >"$work/trees/kustomize-$tree.yaml"; done
for values in charts/lethe/ci/*.yaml; do
	bin/helm template lethe charts/lethe --namespace lethe-system --values "$values" >"$work/trees/chart-$(basename "$values")"
done
bin/helm template lethe charts/lethe --namespace lethe-system >"$work/trees/chart-default.yaml"

# Kinds of others: cert-manager's and those of the Prometheus operator.
location=$work'/schemas/{{.ResourceKind}}_{{.Group}}_{{.ResourceAPIVersion}}.json'
bin/kubeconform -strict -summary -schema-location "$location" \
	-skip Certificate,Issuer,ServiceMonitor,PrometheusRule,Kustomization config/samples "$work/trees" >&2
