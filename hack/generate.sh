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

mkdir -p charts/lethe/crds charts/lethe/files/rbac charts/lethe/files/webhook docs/reference
rm -f charts/lethe/crds/*.yaml charts/lethe/files/rbac/*.yaml charts/lethe/files/webhook/*.yaml
cp config/webhook/manifests.yaml charts/lethe/files/webhook/
cp config/crd/bases/*.yaml charts/lethe/crds/
for role in role leader_election_role secrets_role jobs_role persona_viewer persona_editor persona_approver persona_admin; do
	cp "config/rbac/$role.yaml" charts/lethe/files/rbac/
done

bin/crd-ref-docs --source-path=api --config=hack/crd-ref-docs.yaml --renderer=markdown --log-level=ERROR \
	--output-path=docs/reference/api.md
