#!/usr/bin/env bash
# Everything that a generator makes: deepcopy, CRDs, RBAC, their copies in the chart, the API reference.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

bin/controller-gen object paths=./api/...
# controller-gen leaves files of kinds that are gone, so the folders are filled anew.
rm -f config/crd/bases/*.yaml
bin/controller-gen crd paths=./api/... output:crd:artifacts:config=config/crd/bases
# The markers of the operator's rights stand where it talks to the API server.
callers=()
for dir in internal/controller internal/serve internal/webhook; do
	if [[ -d $dir ]]; then callers+=("paths=./$dir/..."); fi
done
bin/controller-gen rbac:roleName=lethe-manager "${callers[@]}" output:rbac:artifacts:config=config/rbac

mkdir -p config/webhook
go run ./hack/webhooks >config/webhook/manifests.yaml

# The same groups of alerts for the Prometheus operator; the chart wraps its copy itself.
{
	printf '# Made by make generate from rules.yaml.\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: lethe\nspec:\n'
	sed -e '/^#/d' -e 's/^/  /' config/prometheus/rules.yaml
} >config/prometheus/prometheusrule.yaml

# The chart's copies: Helm reads nothing outside of the chart's folder.
files=charts/lethe/files
mkdir -p $files/{crds,rbac,webhook,prometheus,grafana} docs/reference
rm -f $files/*/*
cp config/crd/bases/*.yaml $files/crds/
cp config/webhook/manifests.yaml $files/webhook/
cp config/prometheus/rules.yaml $files/prometheus/
cp config/grafana/lethe.json $files/grafana/
for role in rbac/role rbac/leader_election_role rbac/secrets_role postgresql/jobs_role rbac/persona_viewer rbac/persona_editor rbac/persona_approver rbac/persona_admin; do
	cp "config/$role.yaml" $files/rbac/
done
go run ./hack/chartreadme charts/lethe

bin/crd-ref-docs --source-path=api --config=hack/crd-ref-docs.yaml --renderer=markdown --log-level=ERROR \
	--output-path=docs/reference/api.md

go run ./hack/plugindocs >docs/reference/kubectl-lethe.md
