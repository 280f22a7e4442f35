#!/usr/bin/env bash
# Prints the folder with etcd, kube-apiserver and kubectl for envtest: the one that KUBEBUILDER_ASSETS names, what was
# built or downloaded before, a download where the network allows it, or a build from Go modules.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

usable() { [[ -n $1 && -x $1/etcd && -x $1/kube-apiserver ]]; }

if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
	usable "$KUBEBUILDER_ASSETS" || fail "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS holds no etcd and kube-apiserver"
	echo "$KUBEBUILDER_ASSETS"
	exit
fi

version=$(cd "$ROOT/hack/controlplane" && go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v}
minor=${minor%.*}
setup_envtest=$ROOT/bin/setup-envtest
store=$CACHE/envtest

built_before() { [[ -n $(find "$CACHE/controlplane" -maxdepth 2 -name kube-apiserver 2>/dev/null) ]]; }

if ! built_before && [[ -z ${LETHE_BUILD_ASSETS:-} ]]; then
	make --no-print-directory -C "$ROOT" bin/setup-envtest >&2
	if path=$(timeout 60 "$setup_envtest" use "$minor.x" --bin-dir "$store" -p path 2>/dev/null) && usable "$path"; then
		say "envtest: $path"
		echo "$path"
		exit
	fi
	say "envtest: no download of Kubernetes $minor here, building it from Go modules"
fi
exec "$ROOT/hack/controlplane.sh"
