#!/usr/bin/env bash
# Prints the Krew manifest of a release: fill.sh VERSION CHECKSUMS, where CHECKSUMS is what sha256sum printed of the release's archives.
set -euo pipefail
[[ $# == 2 ]] || { echo "use: hack/krew/fill.sh VERSION CHECKSUMS" >&2; exit 2; }
version=$1 checksums=$2
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || { echo "fill.sh: version $version: Krew takes vMAJOR.MINOR.PATCH alone" >&2; exit 1; }
text=$(sed "s/@VERSION@/$version/g" "$(dirname "$0")/lethe.yaml")
while [[ $text =~ @SHA256:([^@]+)@ ]]; do
	archive=${BASH_REMATCH[1]}
	sum=$(awk -v name="$archive" '{ file = $2; sub(/^\*/, "", file); sub(/.*\//, "", file) } file == name { print $1 }' "$checksums")
	[[ $sum =~ ^[0-9a-f]{64}$ ]] || { echo "fill.sh: $checksums has no SHA-256 of $archive" >&2; exit 1; }
	text=${text//"@SHA256:$archive@"/$sum}
done
printf '%s\n' "$text"
