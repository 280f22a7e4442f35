# What the end-to-end tests share. It is sourced, and needs:
#   KUBECONFIG            of a cluster that may be played with; also kubectl, and bin/helm (make bin/helm)
#   LETHE_E2E_LOAD        a command that loads an image archive, which is its last argument: "kind load image-archive"
# and may be given:
#   LETHE_E2E_IMAGE       a command that makes that archive of a static binary; it gets the archive, the image's name and the
#                         binary as last arguments. Default: docker build and docker save
#   LETHE_E2E_BINARY      that binary, where it was built before
#   LETHE_E2E_POSTGRES    postgres://user:password@host:port of a superuser of a PostgreSQL server that Pods reach. Default: one that
#                         is started in the cluster
#   LETHE_E2E_IN          a command that runs programs of this machine where they reach that server. Default: env, here
#   LETHE_E2E_KEEP        keep the people's namespace
# What sources it sets system and people, the namespaces.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
for name in KUBECONFIG LETHE_E2E_LOAD; do
	if [[ -z ${!name:-} ]]; then
		echo "SKIPPED: $name is not set; see test/e2e/lib.sh for what this test needs" >&2
		exit 0
	fi
done
read -ra load <<<"$LETHE_E2E_LOAD"
read -ra in <<<"${LETHE_E2E_IN:-env}"
name=lethe.test/lethe:e2e
folder=$(mktemp -d)

say() { echo "$(date -u +%T) $*"; }
fail() {
	say "FAILED: $*"
	kubectl -n "$people" get erasurerequests,retentionpolicies,deletionruns -o yaml | sed -n '/status:/,$p' | head -80 || true
	kubectl -n "$system" get jobs,pods -o wide || true
	kubectl -n "$system" logs -l app.kubernetes.io/name=lethe --tail=40 || true
	exit 1
}
until_() { # until_ SECONDS WHAT COMMAND...: waits until the command succeeds
	local end=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		((SECONDS < end)) || fail "$what did not happen in time"
		sleep 0.3
	done
}
check() { # check WHAT GOT WANT
	[[ $2 == "$3" ]] || fail "$1: $2, want $3"
	say "ok: $1: $2"
}
sql() { # sql DATABASE STATEMENT
	if [[ -n ${LETHE_E2E_POSTGRES:-} ]]; then
		"${in[@]}" psql -XqAt -v ON_ERROR_STOP=1 "$LETHE_E2E_POSTGRES/$1" -c "$2"
	else
		kubectl -n "$system" exec -i deploy/postgres -- psql -U postgres -XqAt -v ON_ERROR_STOP=1 "$1" -c "$2"
	fi
}
people_() { kubectl -n "$people" "$@"; }
helm_() { bin/helm "$@" -n "$system"; }
namespace() { kubectl create namespace "$1" --dry-run=client -o yaml | kubectl apply -f - >/dev/null; }
secret() { # secret NAMESPACE NAME KEY=VALUE...
	local in=$1 called=$2
	shift 2
	kubectl -n "$in" create secret generic "$called" "${@/#/--from-literal=}" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
}

# image loads the operator under one name or more.
image() {
	say "the image"
	if [[ -n ${LETHE_E2E_BINARY:-} ]]; then
		cp "$LETHE_E2E_BINARY" "$folder/lethe"
	else
		CGO_ENABLED=0 go build -o "$folder/lethe" ./cmd/lethe
	fi
	for called in "$@"; do
		rm -f "$folder/lethe.tar"
		if [[ -n ${LETHE_E2E_IMAGE:-} ]]; then
			read -ra make <<<"$LETHE_E2E_IMAGE"
			"${make[@]}" "$folder/lethe.tar" "$called" "$folder/lethe"
		else
			printf 'FROM scratch\nCOPY lethe /lethe\nUSER 65532:65532\nENTRYPOINT ["/lethe"]\n' | docker build -q -t "$called" -f - "$folder"
			docker save -o "$folder/lethe.tar" "$called"
		fi
		"${load[@]}" "$folder/lethe.tar"
	done
}

# server makes sure that there is a PostgreSQL server, with empty databases of the names given, and says where in $url, $host, $port, $user and $password.
server() {
	namespace "$system"
	if [[ -z ${LETHE_E2E_POSTGRES:-} ]]; then
		kubectl -n "$system" apply -f - >/dev/null <<-YAML
			apiVersion: apps/v1
			kind: Deployment
			metadata: {name: postgres}
			spec:
			  selector: {matchLabels: {app: postgres}}
			  template:
			    metadata: {labels: {app: postgres}}
			    spec: {containers: [{name: postgres, image: "postgres:17", env: [{name: POSTGRES_PASSWORD, value: e2e}], readinessProbe: {tcpSocket: {port: 5432}}}]}
			---
			apiVersion: v1
			kind: Service
			metadata: {name: postgres}
			spec: {selector: {app: postgres}, ports: [{port: 5432}]}
		YAML
		kubectl -n "$system" rollout status deploy/postgres --timeout=180s
		until_ 60 "that PostgreSQL answers" eval "sql postgres 'SELECT 1' >/dev/null 2>&1"
	fi
	url=${LETHE_E2E_POSTGRES:-postgres://postgres:e2e@postgres.$system.svc:5432}
	host=${url##*@}
	port=${host##*:}
	host=${host%:*}
	user=${url#*://}
	user=${user%@*}
	password=${user#*:}
	[[ $user == *:* ]] || password=none
	user=${user%%:*}
	for database in "$@"; do
		sql postgres "DROP DATABASE IF EXISTS $database WITH (FORCE)"
		sql postgres "CREATE DATABASE $database"
	done
}

# empty takes away what an earlier run left: the release, its objects, which no operator lets go any more, and the CRDs.
empty() {
	helm_ uninstall lethe --ignore-not-found >/dev/null 2>&1 || true
	kubectl delete namespace "$people" --ignore-not-found --wait=false >/dev/null
	local o
	for o in $(people_ get erasurerequests,deletionruns,legalholds,erasurecertificates,complianceexports,retentionpolicies,personaldatamaps,datastores -o name 2>/dev/null); do
		people_ patch "$o" --type=merge -p '{"metadata":{"finalizers":null}}' >/dev/null 2>&1 || true
	done
	kubectl wait --for=delete namespace/"$people" --timeout=120s >/dev/null 2>&1 || true
	kubectl delete namespace "$system" --ignore-not-found --timeout=120s >/dev/null
	kubectl delete crd -l app.kubernetes.io/name=lethe --ignore-not-found >/dev/null
	kubectl get crd -o name | { grep privacy.lethe.dev || true; } | xargs -r kubectl delete >/dev/null
	namespace "$people"
}

# store declares the database of the people's data as the DataStore data.
store() {
	people_ apply -f - >/dev/null <<-YAML
		apiVersion: v1
		kind: Secret
		metadata: {name: data}
		type: kubernetes.io/basic-auth
		stringData: {username: "$user", password: "$password"}
		---
		apiVersion: privacy.lethe.dev/v1alpha1
		kind: DataStore
		metadata: {name: data}
		spec:
		  postgresql: {host: "$host", port: $port, database: lethe_e2e_data, sslMode: disable, credentialsSecretRef: {name: data}}
	YAML
}
