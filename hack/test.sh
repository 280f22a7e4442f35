#!/usr/bin/env bash
# Runs a command with everything that the tests and benchmarks need at hand: envtest's binaries and a PostgreSQL server.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

KUBEBUILDER_ASSETS=$("$ROOT/hack/envtest-assets.sh")
LETHE_POSTGRES_BIN=$("$ROOT/hack/deps.sh" postgres)
export KUBEBUILDER_ASSETS LETHE_POSTGRES_BIN
say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS LETHE_POSTGRES_BIN=$LETHE_POSTGRES_BIN"
cd "$ROOT"
exec "$@"
