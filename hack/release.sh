#!/usr/bin/env bash
# Makes a release in dist/: static binaries, their SBOMs, the chart, the install manifest, checksums. The same commit and version
# give the same bytes on every machine.
#   release.sh VERSION [FOLDER]
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

version=${1:-} dist=${2:-dist}
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || fail "VERSION=${version:-} is no version: say, for example, make release VERSION=v0.1.0"
[[ -z $(git status --porcelain) ]] || fail "the tree is not clean: a release is made of a commit"
commit=$(git rev-parse HEAD)
# The time of the commit stands for that of the build.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
GOTOOLCHAIN=$(pinned_go)
export SOURCE_DATE_EPOCH GOTOOLCHAIN CGO_ENABLED=0 TZ=UTC LC_ALL=C
ldflags="-s -w -buildid= -X main.version=$version -X main.commit=$commit"

# Where each program is built for: the operator runs in Linux containers, the plugin where people sit.
# LETHE_RELEASE_TARGETS names some only, for a quick check.
targets() {
	case ${LETHE_RELEASE_TARGETS:+some}$1 in
	some*) echo "$LETHE_RELEASE_TARGETS" ;;
	lethe) echo linux/amd64 linux/arm64 ;;
	*) echo linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 ;;
	esac
}

# archive FILE FOLDER NAME...: a tar that depends on nothing but what is in it.
archive() {
	local file=$1 folder=$2
	shift 2
	tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" --format=ustar -C "$folder" -cf - "$@" | gzip -n -9 >"$file"
}

# sbom FILE PROGRAM: what a binary is made of, by what its linker wrote into it.
sbom() {
	bin/cyclonedx-gomod bin -json -noserial -version "$version" -output "$1" "$2" 2>/dev/null || fail "no SBOM could be made of $2"
	# The time of day is all in it that is not the binary's.
	sed -i '/^ *"timestamp": /d' "$1"
}

build() {
	local program=$1 target os arch name suffix
	for target in $(targets "$program"); do
		os=${target%/*} arch=${target#*/} suffix=
		[[ $os == windows ]] && suffix=.exe
		name=${program}_${version}_${os}_$arch
		say "building $name"
		mkdir -p "$work/$name"
		GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$work/$name/$program$suffix" "./cmd/$program"
		cp LICENSE "$work/$name/"
		archive "$dist/$name.tar.gz" "$work/$name" "$program$suffix" LICENSE
		sbom "$dist/$name.cdx.json" "$work/$name/$program$suffix"
	done
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$dist"
mkdir -p "$dist"

for folder in cmd/*/; do
	program=$(basename "$folder")
	build "$program"
done

say "the chart"
mkdir "$work/chart"
cp -r charts/lethe "$work/chart/"
rm -rf "$work/chart/lethe/ci"
sed -i -e "s/^version: .*/version: ${version#v}/" -e "s/^appVersion: .*/appVersion: $version/" "$work/chart/lethe/Chart.yaml"
archive "$dist/lethe-${version#v}.tgz" "$work/chart" lethe

say "the install manifest"
bin/kustomize build config/webhook >"$work/install.yaml"
sed "s|^\( *image: ghcr.io/lethe-dev/lethe\):.*|\1:$version|" "$work/install.yaml" >"$dist/install.yaml"
grep -q "image: ghcr.io/lethe-dev/lethe:$version$" "$dist/install.yaml" || fail "the install manifest has no image of this version"

(cd "$dist" && sha256sum -- * >SHA256SUMS)
say "made $(wc -l <"$dist/SHA256SUMS") files in $dist"
