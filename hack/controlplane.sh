#!/usr/bin/env bash
# Builds the local control plane, once for each state of hack/controlplane, into the cache that all clones share, and
# prints the folder: controlplane, and under envtest's names etcd, kube-apiserver and kubectl.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

source_dir=$ROOT/hack/controlplane
key=$(cd "$source_dir" && { cat go.mod go.sum ./*.go && go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-16)
target=$CACHE/controlplane/$key

staging= # where it is built, so that an unfinished build is never taken for a finished one
complete() { [[ -x $target/controlplane && -x $target/etcd && -x $target/kube-apiserver && -x $target/kubectl ]]; }

build() {
	local version major minor
	version=$(cd "$source_dir" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
	IFS=. read -r major minor _ <<<"${version#v}"
	local flags="-s -w -X k8s.io/component-base/version.gitVersion=$version"
	flags+=" -X k8s.io/component-base/version.gitMajor=$major -X k8s.io/component-base/version.gitMinor=$minor"

	staging=$(mktemp -d "$CACHE/controlplane/build.XXXXXX")
	trap 'rm -rf "$staging"' EXIT
	say "building the local control plane (about 5 minutes, once)"
	(cd "$source_dir" && CGO_ENABLED=0 go build -v -trimpath -buildvcs=false -ldflags "$flags" -o "$staging/controlplane" .) 2>&1 | progress
	ln -s controlplane "$staging/etcd"
	ln -s controlplane "$staging/kube-apiserver"
	if command -v kubectl >/dev/null; then
		ln -s "$(command -v kubectl)" "$staging/kubectl"
	else
		say "no kubectl in PATH, building it too"
		(cd "$source_dir" && CGO_ENABLED=0 go build -v -trimpath -buildvcs=false -ldflags "$flags" -o "$staging/kubectl" k8s.io/kubernetes/cmd/kubectl) 2>&1 | progress
	fi
	rm -rf "$target"
	chmod 755 "$staging"
	mv "$staging" "$target"
	say "built $target"
}

mkdir -p "$CACHE/controlplane"
if ! complete; then
	# Two clones may ask at once: the second one waits and finds it done.
	exec 9>"$CACHE/controlplane/lock"
	if command -v flock >/dev/null; then flock 9; fi
	complete || build
fi
echo "$target"
