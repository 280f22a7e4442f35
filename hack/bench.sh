#!/usr/bin/env bash
# Runs every program under test/bench; each prints its figures as lines `BENCH name value`.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

cd "$ROOT"
programs=()
if [[ -d test/bench ]]; then
	mapfile -t programs < <(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' ./test/bench/... | sed '/^$/d')
fi
"$ROOT/hack/deps.sh" ptarchiver >/dev/null || say "no comparison with pt-archiver"
[[ ${#programs[@]} -gt 0 ]] || fail "no program under test/bench"
for program in "${programs[@]}"; do
	say "== $program"
	go run "$program"
done
