#!/usr/bin/env bash
# A sweep as a Kubernetes Job on a real cluster, with one of its workers killed in the middle: the end state must be right.
# What it needs, and says where something is missing, is at the head of lib.sh; the ledger is read from this machine, so
# LETHE_E2E_POSTGRES must be given.
set -euo pipefail
system=lethe-e2e-system people=lethe-e2e
source "$(dirname "$0")/lib.sh"
rows=${LETHE_E2E_ROWS:-100000}
workers=3
if [[ -z ${LETHE_E2E_POSTGRES:-} ]]; then
	echo "SKIPPED: LETHE_E2E_POSTGRES is not set; see test/e2e/lib.sh" >&2
	exit 0
fi
cleanup() {
	rm -rf "$folder"
	[[ -n ${LETHE_E2E_KEEP:-} ]] && return
	kubectl delete namespace "$people" --wait=false --ignore-not-found >/dev/null 2>&1 || true
}
trap cleanup EXIT
image "$name"

say "$rows records, of which nine in ten are due; nothing of earlier runs is left"
empty
server lethe_e2e_data lethe_e2e_ledger
sql lethe_e2e_data "CREATE TABLE candidates (id bigint PRIMARY KEY, email text, found_at timestamptz NOT NULL);
	CREATE TABLE notes (id bigint PRIMARY KEY, candidate_id bigint NOT NULL REFERENCES candidates(id), body text);
	INSERT INTO candidates SELECT i, 'c' || i || '@example.org', now() - CASE WHEN i % 10 = 0 THEN interval '1 month' ELSE interval '1 year' END FROM generate_series(1, $rows) i;
	INSERT INTO notes SELECT i, i, 'a note' FROM generate_series(1, $rows) i;
	CREATE INDEX ON notes (candidate_id); CREATE INDEX ON candidates (found_at); CREATE INDEX ON candidates (email); ANALYZE"
due=$((rows - rows / 10))

say "the operator, from the chart"
secret "$system" ledger-url url="$url/lethe_e2e_ledger?sslmode=disable"
helm_ upgrade --install lethe charts/lethe --set image.repository="${name%:*}" --set image.tag="${name##*:}" \
	--set ledger.postgresql.urlSecret.name=ledger-url --set admission.enabled=false --set exports.serve=false >/dev/null
kubectl -n "$system" rollout status deploy/lethe --timeout=180s

store
kubectl -n "$people" apply -f - >/dev/null <<YAML
apiVersion: privacy.lethe.dev/v1alpha1
kind: PersonalDataMap
metadata: {name: hiring}
spec:
  entities:
    - name: candidates
      store: data
      table: candidates
      key: [id]
      category: contact
      action: Delete
      root: {rows: Many}
      identifiedBy: [{column: email, identity: email}]
      clocks: [{name: found, column: found_at}]
    - name: notes
      store: data
      table: notes
      key: [id]
      category: notes
      action: Delete
      parents: [{entity: candidates, columns: [{column: candidate_id, parentColumn: id}], relation: Deep}]
YAML
kubectl -n "$people" wait --for=condition=Ready pdmap/hiring --timeout=90s >/dev/null || fail "the map is not Ready: $(kubectl -n "$people" get pdmap hiring -o jsonpath='{.status.conditions}')"
kubectl -n "$people" apply -f - >/dev/null <<YAML
apiVersion: privacy.lethe.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: candidates, annotations: {privacy.lethe.dev/sweep: "1"}}
spec:
  schedule: {cron: "0 3 1 1 *"}
  notice: {period: P0D}
  limits: {maxSharePercent: 100}
  throttle: {batchSize: 500, dutyPercent: 20}
  execution: {mode: Job, parallelism: $workers}
  rules: [{name: old, entity: hiring/candidates, clock: found, period: P6M, action: Delete}]
YAML

left() { sql lethe_e2e_data "SELECT count(*) FROM candidates"; }
running() { [[ $(kubectl -n "$system" get pods -l app.kubernetes.io/component=sweep-worker --field-selector=status.phase=Running -o name | wc -l) -ge $workers ]]; }
begun() { [[ $(left) -lt $((rows - 3000)) ]]; }
until_ 120 "that all $workers workers run" running
until_ 120 "that records go" begun
victim=$(kubectl -n "$system" get pods -l app.kubernetes.io/component=sweep-worker,batch.kubernetes.io/job-completion-index=1 -o name | head -1)
say "$(left) records are left, $((rows - due)) are to stay; now $victim is killed"
kubectl -n "$system" delete "$victim" --grace-period=0 --force >/dev/null 2>&1
after=$(left)
[[ $after -gt $((rows - due)) ]] || fail "it was not in the middle"
until_ 60 "that Kubernetes starts another worker in its place" eval \
	"[[ -n \$(kubectl -n $system get pods -l app.kubernetes.io/component=sweep-worker,batch.kubernetes.io/job-completion-index=1 -o name | grep -v '^$victim\$') ]]"
say "another one is there: $(kubectl -n "$system" get pods -l app.kubernetes.io/component=sweep-worker,batch.kubernetes.io/job-completion-index=1 -o name | tr '\n' ' ')"
kubectl -n "$people" get drun -o jsonpath='{range .items[*]}{.status.progress} {.status.recordsPerSecond}/s {.status.shards}{"\n"}{end}'
completed() { [[ $(kubectl -n "$people" get drun -o jsonpath='{.items[0].status.phase}') == Completed ]]; }
until_ 400 "the end of the run" completed
kubectl -n "$system" get jobs,pods -l app.kubernetes.io/component=sweep-worker

say "the end state"
check "records due" "$(sql lethe_e2e_data "SELECT count(*) FROM candidates WHERE id % 10 <> 0")" 0
check "records not due" "$(sql lethe_e2e_data "SELECT count(*) FROM candidates WHERE id % 10 = 0")" $((rows / 10))
check "notes of others" "$(sql lethe_e2e_data "SELECT count(*) FROM notes")" $((rows / 10))
check "counted" "$(kubectl -n "$people" get drun -o jsonpath='{.items[0].status.counts[?(@.category=="contact")].deleted}')" $due
check "counted notes" "$(kubectl -n "$people" get drun -o jsonpath='{.items[0].status.counts[?(@.category=="notes")].deleted}')" $due
check "entries that are not in the ledger" "$(sql lethe_e2e_ledger "SELECT count(*) FROM lethe.outbox")" 0
kubectl -n "$system" get configmap lethe-ledger-key -o jsonpath='{.data.key}' >"$folder/key"
echo "$url/lethe_e2e_ledger?sslmode=disable" >"$folder/url"
"${in[@]}" "$folder/lethe" ledger export --ledger-url-file "$folder/url" -n "$people" -o "$folder/ledger.jsonl" || fail "the ledger cannot be exported"
"$folder/lethe" verify ledger "$folder/ledger.jsonl" --key "$folder/key" || fail "the ledger does not verify"
check "ends of the run in the ledger" "$(grep -c '"kind":"run.completed"' "$folder/ledger.jsonl")" 1
say "entries of the ledger: $(grep -o '"kind":"[a-z.]*"' "$folder/ledger.jsonl" | sort | uniq -c | tr '\n' ' ')"
say "PASSED"
