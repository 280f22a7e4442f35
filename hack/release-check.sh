#!/usr/bin/env bash
# Makes a release twice, the second time from a clone in another folder and without Go's build cache, and compares them byte by
# byte. What is not committed is not in the clone: commit first.
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

version=${1:-v0.0.0-check}
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT

hack/release.sh "$version" "$work/first"
git clone -q --no-hardlinks . "$work/elsewhere"
mkdir "$work/elsewhere/bin"
cp -L bin/kustomize bin/cyclonedx-gomod "$work/elsewhere/bin/"
GOCACHE=$work/cache "$work/elsewhere/hack/release.sh" "$version" "$work/second"
diff -r "$work/first" "$work/second" || fail "the two releases differ"
(cd "$work/first" && sha256sum --quiet --check SHA256SUMS)
say "both releases are the same, byte by byte:"
cat "$work/first/SHA256SUMS"
