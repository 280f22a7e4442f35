#!/usr/bin/env bash
# Lints the chart and renders it with each set of values in charts/lethe/ci and with its defaults.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

say "== the chart lints and renders"
bin/helm lint --strict charts/lethe
for values in charts/lethe/ci/*.yaml; do
	bin/helm lint --strict charts/lethe --values "$values"
	bin/helm template lethe charts/lethe --namespace lethe-system --values "$values" >/dev/null
done
bin/helm template lethe charts/lethe --namespace lethe-system >/dev/null
