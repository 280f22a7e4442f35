#!/usr/bin/env bash
# Lethe from its chart on a real cluster, from the installation to its end: webhooks answer, a request goes through to Completed
# against PostgreSQL, each persona can do what it should and not more, the leader is killed in the middle of a run, the release is
# upgraded while requests wait, and uninstalled: data, objects and CRDs stay. What it needs is at the head of lib.sh.
set -euo pipefail
system=lethe-e2e-system people=lethe-e2e
source "$(dirname "$0")/lib.sh"
next=lethe.test/lethe:e2e-next
rows=${LETHE_E2E_ROWS:-20000}
started=$SECONDS
trap 'rm -rf "$folder"' EXIT

phase() { people_ get erasurerequest "$1" -o jsonpath='{.status.phase}'; }
is() { [[ $(phase "$1") == "$2" ]]; }
condition() { people_ get "$1" "$2" -o jsonpath='{.status.conditions[?(@.type=="Ready")].reason}'; }
leader() { kubectl -n "$system" get pods -l privacy.lethe.dev/role=active --field-selector=status.phase=Running -o jsonpath='{.items[0].metadata.name}'; }
install_() { # install_ IMAGE: the release as it is to be
	helm_ upgrade --install lethe charts/lethe --set image.repository="${1%:*}" --set image.tag="${1##*:}" --set ledger.postgresql.urlSecret.name=ledger-url \
		--set replicas=2 "${extra[@]}" --wait --timeout 180s >/dev/null || fail "helm"
}
request() { # request NAME SUBJECT TIMING
	kubectl "${as[@]}" -n "$people" create -f - <<-YAML
		apiVersion: privacy.lethe.dev/v1alpha1
		kind: ErasureRequest
		metadata: {name: $1}
		spec: {subject: {id: "$2"}, source: Subject, timing: $3}
	YAML
}
as=()
extra=()
if [[ -z $(kubectl -n kube-system get endpointslices -l kubernetes.io/service-name=kube-dns -o jsonpath='{.items[*].endpoints[*].addresses[*]}' 2>/dev/null) ]]; then
	say "this cluster has no DNS: helm test does not ask for the metrics by their Service's name"
	extra=(--set metrics.service=false)
fi

image "$name" "$next"
say "an empty cluster: CRDs and databases of earlier runs go"
empty
server lethe_e2e_data lethe_e2e_ledger
sql lethe_e2e_data "CREATE TABLE people (id text PRIMARY KEY, email text, seen timestamptz NOT NULL); CREATE INDEX ON people (seen);
	CREATE TABLE notes (id bigint PRIMARY KEY, person_id text NOT NULL REFERENCES people(id), body text); CREATE INDEX ON notes (person_id);
	INSERT INTO people SELECT 'p' || i, 'p' || i || '@example.org', now() - CASE WHEN i <= 100 THEN interval '1 day' ELSE interval '2 years' END FROM generate_series(1, $rows + 100) i;
	INSERT INTO notes SELECT i, 'p' || i, 'a note' FROM generate_series(1, $rows + 100) i; ANALYZE"

say "the chart, with two replicas and the ledger in PostgreSQL"
secret "$system" ledger-url url="$url/lethe_e2e_ledger?sslmode=disable"
installing=$SECONDS
install_ "$name"
say "ok: installed after $((SECONDS - installing)) s"
helm_ test lethe >/dev/null || fail "helm test"
say "ok: helm test"

say "stores, map, and webhooks that answer"
store
people_ apply -f - >/dev/null <<YAML
apiVersion: privacy.lethe.dev/v1alpha1
kind: PersonalDataMap
metadata: {name: hiring}
spec:
  entities:
    - name: people
      store: data
      table: people
      key: [id]
      category: contact
      action: Delete
      root: {rows: One}
      identifiedBy: [{column: id, identity: id}]
      clocks: [{name: seen, column: seen}]
    - name: notes
      store: data
      table: notes
      key: [id]
      category: notes
      action: Delete
      parents: [{entity: people, columns: [{column: person_id, parentColumn: id}], relation: Deep}]
YAML
people_ wait --for=condition=Ready pdmap/hiring --timeout=90s >/dev/null || fail "the map is not Ready: $(people_ get pdmap hiring -o jsonpath='{.status.conditions}')"
refused=$(people_ create -f - 2>&1 <<'YAML' || true
apiVersion: privacy.lethe.dev/v1alpha1
kind: DeletionRun
metadata: {name: mine}
spec: {retention: {policy: none, policyUID: none, rule: none, until: "2027-01-01T00:00:00Z"}}
YAML
)
[[ $refused == *"admission webhook"*dryRun* ]] || fail "a run made by hand was taken, or refused by somebody else: $refused"
say "ok: refused: ${refused##*denied the request: }"

say "a request through to Completed, and its certificate"
request first p1 Immediate
until_ 90 "that the first request is Completed" is first Completed
check "rows of the person" "$(sql lethe_e2e_data "SELECT (SELECT count(*) FROM people WHERE id = 'p1') + (SELECT count(*) FROM notes WHERE person_id = 'p1')")" 0
kubectl -n "$system" get configmap lethe-ledger-key -o jsonpath='{.data.key}' >"$folder/key"
people_ get ecert -o jsonpath='{.items[0].spec.document}' >"$folder/certificate.json"
"$folder/lethe" verify "$folder/certificate.json" --key "$folder/key" >"$folder/verified" || fail "the certificate does not verify: $(cat "$folder/verified")"
say "ok: $(head -1 "$folder/verified")"

say "personas, with tokens of their own"
server_=$(kubectl config view --minify --raw -o jsonpath='{.clusters[0].cluster.server}')
kubectl config view --minify --raw -o jsonpath='{.clusters[0].cluster.certificate-authority-data}' | base64 -d >"$folder/ca.crt"
for persona in viewer editor approver admin stranger; do
	people_ create serviceaccount "$persona" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
	[[ $persona == stranger ]] || people_ create rolebinding "$persona" --clusterrole="lethe-$persona" --serviceaccount="$people:$persona" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
	people_ create token "$persona" --duration=1h >"$folder/$persona"
done
persona() { as=(--kubeconfig=/dev/null --server="$server_" --certificate-authority="$folder/ca.crt" --token="$(cat "$folder/$1")"); }
may() { # may PERSONA yes|no WHAT COMMAND...
	local who=$1 want=$2 what=$3 got=yes
	shift 3
	persona "$who"
	"$@" >"$folder/out" 2>&1 || got=no
	as=()
	[[ $got == "$want" ]] || fail "$who, $what: $got, want $want: $(tail -1 "$folder/out")"
	say "ok: $who, $what: $got"
}
with() { kubectl "${as[@]}" -n "$people" "$@"; }
patch() { with patch erasurerequest "$1" --type=merge -p "$2"; }
may viewer yes "read requests" with get erasurerequest
may stranger no "read requests" with get erasurerequest
may viewer no "ask for an erasure" request viewers p2 AfterGracePeriod
may stranger no "ask for an erasure" request strangers p2 AfterGracePeriod
may editor yes "ask for an erasure" request waits p2 AfterGracePeriod
may editor no "ask for it a second time" request again p2 AfterGracePeriod
grep -q "waits" "$folder/out" || fail "the first request is not named: $(cat "$folder/out")"
may editor no "expedite it" patch waits '{"spec":{"timing":"Immediate"}}'
may approver yes "read requests" with get erasurerequest
may approver no "read Secrets" with get secrets
may viewer no "read Secrets" with get secrets
may approver no "write a policy" with create -f - <<<'{"apiVersion":"privacy.lethe.dev/v1alpha1","kind":"RetentionPolicy","metadata":{"name":"mine"},"spec":{}}'
may admin yes "write a policy" with create -f - <<<'{"apiVersion":"privacy.lethe.dev/v1alpha1","kind":"RetentionPolicy","metadata":{"name":"requests"},"spec":{"requests":{"gracePeriod":"P60D"}}}'

say "the leader is killed in the middle of a run"
people_ apply -f - >/dev/null <<YAML
apiVersion: privacy.lethe.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: old, annotations: {privacy.lethe.dev/sweep: "1"}}
spec:
  schedule: {cron: "0 3 1 1 *"}
  notice: {period: P0D}
  limits: {maxSharePercent: 100}
  throttle: {batchSize: 200, dutyPercent: 20}
  rules: [{name: old, entity: hiring/people, clock: seen, period: P1Y, action: Delete}]
YAML
left() { sql lethe_e2e_data "SELECT count(*) FROM people"; }
middle() { local n; n=$(left); ((n < rows - 1000 && n > 1000)); }
until_ 120 "that records go" middle
victim=$(leader)
kubectl -n "$system" delete pod "$victim" --grace-period=0 --force >/dev/null 2>&1
say "$victim was killed with $(left) records left"
[[ $(left) -gt 1000 ]] || fail "it was not in the middle"
completed() { [[ $(people_ get drun -o jsonpath='{.items[?(@.spec.retention)].status.phase}') == Completed ]]; }
until_ 300 "the end of the run" completed
other=$(leader)
[[ $other != "$victim" ]] || fail "the killed Pod still leads"
check "records that were due" "$(sql lethe_e2e_data "SELECT count(*) FROM people WHERE seen < now() - interval '1 year'")" 0
check "records that were not" "$(left)" 99
check "counted" "$(people_ get drun -o jsonpath='{.items[?(@.spec.retention)].status.counts[?(@.category=="contact")].deleted}')" "$rows"

say "an upgrade while a request waits"
until_ 60 "that the request waits" eval '[[ $(condition erasurerequest waits) == GracePeriod ]]'
scheduled=$(people_ get erasurerequest waits -o jsonpath='{.status.scheduledAt}')
install_ "$next"
images() { kubectl -n "$system" get pods -l app.kubernetes.io/name=lethe --field-selector=status.phase=Running -o jsonpath='{range .items[*]}{.spec.containers[0].image}{"\n"}{end}' | sort -u; }
until_ 60 "that the old replicas are gone" eval '[[ $(images) == "$next" ]]'
say "ok: images: $next"
check "the request" "$(phase waits)/$(condition erasurerequest waits)" Pending/GracePeriod
check "its time" "$(people_ get erasurerequest waits -o jsonpath='{.status.scheduledAt}')" "$scheduled"
may admin yes "expedite it" patch waits '{"spec":{"timing":"Immediate"}}'
until_ 90 "that it is Completed" is waits Completed
request after p3 AfterGracePeriod
until_ 60 "that another one waits" eval '[[ $(condition erasurerequest after) == GracePeriod ]]'

say "the release is uninstalled"
helm_ uninstall lethe --wait >/dev/null
until_ 90 "that its Pods are gone" eval '[[ -z $(kubectl -n "$system" get pods -l app.kubernetes.io/name=lethe,app.kubernetes.io/component=manager -o name) ]]'
check "CRDs" "$(kubectl get crd -o name | grep -c privacy.lethe.dev)" "$(ls config/crd/bases | wc -l)"
check "requests" "$(people_ get erasurerequest -o name | wc -l)" 3
check "webhooks" "$(kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations -o name | grep -c lethe)" 0
check "records" "$(left)" 98
[[ $(sql lethe_e2e_ledger "SELECT count(*) FROM lethe.bundles") -gt 0 ]] || fail "the ledger is gone"
say "and installed again: what waited waits, and goes"
install_ "$next"
may admin yes "expedite it" patch after '{"spec":{"timing":"Immediate"}}'
until_ 90 "that it is Completed" is after Completed
check "records" "$(left)" 97
say "PASSED after $((SECONDS - started)) s"
