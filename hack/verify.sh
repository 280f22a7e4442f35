#!/usr/bin/env bash
# Fails if generated files are not what `make generate` makes of the sources, or if chart or kustomize trees do not build.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

# A file that git knows and that is gone is no error here: the difference shows it.
snapshot() { git ls-files -z --cached --others --exclude-standard | { xargs -0 sha256sum 2>/dev/null || true; } | sort -u -k2; }

say "== generated files are up to date"
before=$(snapshot)
make --no-print-directory generate
changed=$(diff <(echo "$before") <(snapshot) | sed -n 's/^[<>] [0-9a-f]* *//p' | sort -u) || true
[[ -z $changed ]] || fail "make generate changed these files; run it and commit them:"$'\n'"$changed"
if [[ ${CI:-} == true && -n $(git status --porcelain) ]]; then
	git status --short >&2
	fail "the tree is not clean"
fi

say "== kustomize builds"
for dir in config/crd config/rbac config/manager config/default config/webhook config/postgresql config/prometheus config/samples \
	examples/gitops/recruiting/staging examples/gitops/recruiting/production examples/gitops/recruiting/production/holds; do
	bin/kustomize build "$dir" >/dev/null
done

make --no-print-directory helm-lint kubeconform secret-scan

say "== links of the documentation"
go run ./hack/linkcheck
