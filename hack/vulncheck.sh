#!/usr/bin/env bash
# Looks for known vulnerabilities in what is called. The database is the Go project's own, from its module: newest where the proxy of Go modules
# is asked, and so without a service besides. LETHE_VULNDB is its version, for example a commit.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

GOTOOLCHAIN=$(pinned_go) # the standard library that releases have
export GOTOOLCHAIN
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
module=$(cd "$folder" && go mod download -json "golang.org/x/vulndb@${LETHE_VULNDB:-latest}")
version=$(sed -n 's/.*"Version": "\(.*\)".*/\1/p' <<<"$module")
source=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$module")
echo "vulnerabilities known by $version" >&2
(cd "$folder" && go run "golang.org/x/vulndb/cmd/indexdb@$version" -vulns "$source/data/osv" -out "$folder/db")
bin/govulncheck -db "file://$folder/db" "$@" ./...
