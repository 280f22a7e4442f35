#!/usr/bin/env bash
# Runs a command with everything that the tests and benchmarks need at hand: envtest's binaries and the servers of the stores.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

KUBEBUILDER_ASSETS=$("$ROOT/hack/envtest-assets.sh")
LETHE_POSTGRES_BIN=$("$ROOT/hack/deps.sh" postgres)
LETHE_MARIADB_BIN=$("$ROOT/hack/deps.sh" mariadb)
LETHE_REDIS_SERVER=$("$ROOT/hack/deps.sh" redis)
LETHE_VERSITYGW=$("$ROOT/hack/deps.sh" versitygw)
LETHE_PDFTOTEXT=$("$ROOT/hack/deps.sh" pdftotext)
LETHE_PROMETHEUS_BIN=$("$ROOT/hack/deps.sh" prometheus)
"$ROOT/hack/deps.sh" shelltools >/dev/null
export KUBEBUILDER_ASSETS LETHE_POSTGRES_BIN LETHE_MARIADB_BIN LETHE_REDIS_SERVER LETHE_VERSITYGW LETHE_PDFTOTEXT LETHE_PROMETHEUS_BIN
say "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS LETHE_POSTGRES_BIN=$LETHE_POSTGRES_BIN LETHE_MARIADB_BIN=$LETHE_MARIADB_BIN" \
	"LETHE_REDIS_SERVER=$LETHE_REDIS_SERVER LETHE_VERSITYGW=$LETHE_VERSITYGW LETHE_PDFTOTEXT=$LETHE_PDFTOTEXT LETHE_PROMETHEUS_BIN=$LETHE_PROMETHEUS_BIN"
cd "$ROOT"
exec "$@"
