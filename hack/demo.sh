#!/usr/bin/env bash
# The whole story on a local control plane: `make demo` calls this. With ONCE=1 it ends by itself, with status 0 only if
# everything that it shows is as it says; else it stays up until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

: "${LETHE_CONTROLPLANE:?the control plane binary is not known; run make demo}"
once=${ONCE:-}
namespace=recruiting
patience=60s

work=$(mktemp -d "${TMPDIR:-/tmp}/lethe-demo.XXXXXX")
export KUBECONFIG=$work/kubeconfig KUBECACHEDIR=$work/kube-cache LETHE_DEMO_DATA=$work/data PATH=$work/bin:$PATH

start_operator() {
	mkdir -p "$work/lethe"
	bin/lethe manager \
		--kubeconfig "$KUBECONFIG" \
		--ledger-path "$work/lethe/ledger.db" \
		--local-root "$namespace=$LETHE_DEMO_DATA" \
		--operator-namespace lethe-system \
		--metrics-bind-address 0 \
		--health-probe-bind-address 0 \
		--leader-elect=false \
		--admission off \
		>"$work/operator.log" 2>&1 &
	operator=$!
}

bold='' dim='' green='' red='' plain=''
if [ -t 1 ]; then
	bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi

controlplane='' operator='' last=0 misses=0

# stop PROCESS ends one of our processes and waits for it, at most ten seconds.
stop() {
	[ -n "$1" ] && kill "$1" 2>/dev/null || return 0
	local tries=100
	while kill -0 "$1" 2>/dev/null && [ "$tries" -gt 0 ]; do
		sleep 0.1
		tries=$((tries - 1))
	done
	kill -9 "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

cleanup() {
	local status=$?
	trap - EXIT
	trap '' INT TERM
	stop "$operator"
	stop "$controlplane"
	if [ "$status" -eq 0 ] || [ "$status" -eq 130 ]; then
		rm -rf "$work"
		exit "$status"
	fi
	for log in controlplane operator; do
		if [ -s "$work/$log.log" ]; then
			printf '\nThe end of %s.log:\n' "$log" >&2
			tail -n 30 "$work/$log.log" >&2
		fi
	done
	if [ -n "$once" ]; then rm -rf "$work"; else echo "Everything is kept in $work" >&2; fi
	exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }

# command prints a command as one would type it.
command_line() {
	local arg line=''
	for arg in "$@"; do
		case $arg in
		*[!a-zA-Z0-9_./=:,@-]*) line="$line '$arg'" ;;
		*) line="$line $arg" ;;
		esac
	done
	printf '%s$%s%s\n' "$dim" "$line" "$plain"
}

# run shows a command and its real output, and goes on when it fails: what matters is expected afterwards.
run() {
	command_line "$@"
	"$@" 2>&1 || last=$?
}

# expect WHAT WANTED FOUND compares, and remembers a miss.
expect() {
	if [ "$2" = "$3" ]; then
		printf '%sok%s    %s: %s\n' "$green" "$plain" "$1" "${2:-none}"
	else
		printf '%sMISS%s  %s: expected %s, found %s\n' "$red" "$plain" "$1" "${2:-none}" "${3:-none}"
		misses=$((misses + 1))
	fi
}

# expect_count WHAT ARGUMENTS... compares the person's data and everybody else's with the saved numbers.
expect_count() {
	local what=$1
	shift
	last=0
	run ats count "$@"
	expect "$what" yes "$([ "$last" -eq 0 ] && echo yes || echo no)"
}

# of REQUEST JSONPATH reads a field of a request.
of() { kubectl get erasurerequest "$1" -o "jsonpath=$2" 2>/dev/null || true; }

# stage REQUEST is the reason of its condition Ready.
stage() { of "$1" '{.status.conditions[?(@.type=="Ready")].reason}'; }

# await REQUEST STAGE waits for a stage and shows the request.
await() {
	run kubectl wait "erasurerequest/$1" --timeout=$patience \
		--for="jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=$2"
	run kubectl get erasurerequest "$1"
	expect "stage of $1" "$2" "$(stage "$1")"
}

# field ID COLUMN reads a column of an applicant from the database.
field() { ats row --id "$1" --columns "$2" | cut -d= -f2-; }

sum() {
	local total=0 number
	for number in "$@"; do total=$((total + number)); done
	echo "$total"
}

# wait_for PROCESS SECONDS COMMAND... waits until the command succeeds, the process has ended or the time is over.
wait_for() {
	local process=$1 end=$((SECONDS + $2))
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ] || ! kill -0 "$process" 2>/dev/null; then return 1; fi
		sleep 0.1
	done
}

fail() {
	say "$*" >&2
	exit 1
}

set_up() {
	title "A Kubernetes API, an applicant-tracking system and Lethe, on this machine"
	say "Building the sample system ..."
	# The flags of `make build`: what it compiled is not compiled again.
	CGO_ENABLED=0 go build -trimpath -o "$work/bin/ats" ./hack/demo
	say "Starting etcd and kube-apiserver ..."
	"$LETHE_CONTROLPLANE" --dir "$work/controlplane" --kubeconfig "$KUBECONFIG" --ready-file "$work/ready" \
		>"$work/controlplane.log" 2>&1 &
	controlplane=$!
	run ats seed
	wait_for "$controlplane" 150 test -s "$work/ready" || fail "The control plane did not start."
	run kubectl apply -f config/crd/bases
	kubectl wait --for=condition=Established --timeout=$patience -f config/crd/bases >/dev/null
	for name in lethe-system "$namespace"; do run kubectl create namespace "$name"; done
	kubectl config set-context --current --namespace="$namespace" >/dev/null
	start_operator
}

act_stores() {
	title "1. Where the data is: stores, a data map, a policy and a legal hold"
	run kubectl apply -f config/samples/datastore_sqlite.yaml -f config/samples/datastore_filesystem.yaml \
		-f config/samples/personaldatamap.yaml -f config/samples/retentionpolicy.yaml -f config/samples/legalhold.yaml
	wait_for "$operator" 60 kubectl wait --for=condition=Ready --timeout=2s personaldatamap/applicant-tracking ||
		kill -0 "$operator" 2>/dev/null || fail "The operator has ended."
	run kubectl wait --for=condition=Ready --timeout=10s datastore/ats datastore/storage \
		personaldatamap/applicant-tracking retentionpolicy/requests legalhold/labour-court-2026-117
	run kubectl get datastores,personaldatamaps,retentionpolicies,legalholds
	kubectl get personaldatamap applicant-tracking -o jsonpath='{range .status.problems[*]}{.entity}{" "}{.message}{"\n"}{end}'
	expect "data map Ready" True \
		"$(kubectl get personaldatamap applicant-tracking -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}')"
	expect "tables that the map does not know" "" \
		"$(kubectl get personaldatamap applicant-tracking -o jsonpath='{.status.coverage.unknown}' | sed 's/^0$//')"
}

act_immediate() {
	title "2. One person, erased now"
	run ats count --subject app-000101 --save app-000101
	run kubectl create -f config/samples/erasurerequest_immediate.yaml
	run kubectl wait --for=condition=Erased erasurerequest/erase-now --timeout=$patience
	await erase-now Erased
	expect_count "everything of this person is gone, everybody else is as before" \
		--against app-000101 --anonymized consents
	say "What the request says of it:"
	run kubectl get erasurerequest erase-now -o 'jsonpath={range .status.counts[*]}{@}{"\n"}{end}'
	run kubectl get deletionruns
	expect "phase" Completed "$(of erase-now '{.status.phase}')"
	# shellcheck disable=SC2046 # one word for each number
	expect "rows deleted, as Lethe counts them" 29 "$(sum $(of erase-now '{.status.counts[*].deleted}'))"
	# shellcheck disable=SC2046 # one word for each number
	expect "consent records anonymized, as Lethe counts them" 1 "$(sum $(of erase-now '{.status.counts[*].anonymized}'))"
	# shellcheck disable=SC2046 # one word for each number
	expect "files removed, as Lethe counts them" 7 "$(sum $(of erase-now '{.status.counts[*].files}'))"
	expect "the Secret with the e-mail address" "" "$(kubectl get secret erase-now --ignore-not-found -o name)"
}

act_grace_period() {
	title "3. One in its grace period"
	ats count --subject app-000202 --save app-000202 >/dev/null
	run ats row --id app-000202 --columns status,portal_access
	run kubectl create -f config/samples/erasurerequest_after_grace.yaml
	run kubectl wait --for=condition=Deactivated erasurerequest/erase-after-grace --timeout=$patience
	await erase-after-grace GracePeriod
	run kubectl get erasurerequest erase-after-grace \
		-o 'jsonpath=confirmed {.status.confirmedAt}, scheduled {.status.scheduledAt}, due {.status.dueAt}{"\n"}'
	run ats row --id app-000202 --columns status,portal_access
	expect "grace period that applies" P60D "$(of erase-after-grace '{.status.policy.gracePeriod}')"
	expect "applicant in the database" "deactivated 0" "$(field app-000202 status) $(field app-000202 portal_access)"
}

act_duplicate() {
	title "4. The same person once more, while the first request is pending"
	run kubectl create -f config/samples/erasurerequest_duplicate.yaml
	await erase-after-grace-again Duplicate
	expect "phase" Cancelled "$(of erase-after-grace-again '{.status.phase}')"
	expect "duplicate of" erase-after-grace "$(of erase-after-grace-again '{.status.duplicateOf}')"
	expect "the first request" GracePeriod "$(stage erase-after-grace)"
}

act_cancel() {
	title "5. The first one thinks again: cancelled within the grace period"
	run kubectl patch erasurerequest erase-after-grace --type=merge -p '{"spec":{"cancelled":true}}'
	await erase-after-grace Cancelled
	run ats row --id app-000202 --columns status,portal_access
	expect "phase" Cancelled "$(of erase-after-grace '{.status.phase}')"
	expect "applicant in the database" "active 1" "$(field app-000202 status) $(field app-000202 portal_access)"
	expect_count "the whole system is as it was before the request" --against app-000202 --kept all
}

act_process() {
	title "6. One whose application is still open"
	ats count --subject app-000303 --save app-000303 >/dev/null
	run kubectl create -f config/samples/erasurerequest_active_process.yaml
	await erase-after-process ProcessActive
	run kubectl get erasurerequest erase-after-process \
		-o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}{"\n"}'
	expect "phase" Pending "$(of erase-after-process '{.status.phase}')"
	expect_count "nothing of it has changed" --against app-000303 --kept all
}

act_retained() {
	title "7. One with a document that the tax law keeps"
	local request=erase-but-keep-tax-document
	ats count --subject app-000404 --save app-000404 >/dev/null
	run kubectl create -f config/samples/erasurerequest_retained.yaml
	run kubectl wait "erasurerequest/$request" --for='jsonpath={.status.phase}=Completed' --timeout=$patience
	await $request Retained
	run kubectl get erasurerequest $request -o 'jsonpath={range .status.retained[*]}{@}{"\n"}{end}'
	expect "condition Erased" "False Retained" \
		"$(of $request '{.status.conditions[?(@.type=="Erased")].status} {.status.conditions[?(@.type=="Erased")].reason}')"
	expect "the invoice is kept until" 2035-03-14T00:00:00Z \
		"$(of $request '{.status.retained[?(@.entity=="applicant-tracking/documents")].until}')"
	expect_count "all but the invoice is gone, and the row that it needs names nobody" \
		--against app-000404 --anonymized applicants,consents --kept documents=1 --files 1
	run ats row --id app-000404
}

act_bad_input() {
	title "8. An e-mail address where an opaque id belongs"
	local manifest answer
	manifest=$(sed '1,/^---$/d; s/app-000101/somebody@example.com/; s/erase-now/erase-somebody/' \
		config/samples/erasurerequest_immediate.yaml)
	command_line kubectl create -f -
	say "$manifest"
	answer=$(kubectl create -f - <<<"$manifest" 2>&1) && answer="accepted: $answer"
	say "$answer"
	expect "refused with the remedy" yes \
		"$(case $answer in *'must be an opaque id'*'Put the address into a Secret'*) echo yes ;; *) echo no ;; esac)"
}

act_traces() {
	title "9. What is left of the erased in Kubernetes and in the operator's log"
	run kubectl get erasurerequests
	local kinds=datastores,personaldatamaps,retentionpolicies,legalholds,erasurerequests,deletionruns,erasurecertificates,secrets,events,configmaps
	kubectl get "$kinds" --all-namespaces -o yaml >"$work/objects.yaml"
	local traces='novakova|webermann|555 0000101|555 0000404' address
	for address in lena.novakova@example.com jonas.webermann@example.org; do
		traces="$traces|$(printf %s "$address" | base64)"
	done
	expect "lines with their e-mail address, name or telephone number" 0 \
		"$(cat "$work/objects.yaml" "$work/operator.log" | grep -ciE "$traces" || true)"
}

# certificate REQUEST FILE writes the file of a request's newest certificate.
certificate() {
	local name
	name=$(of "$1" '{.status.certificate.name}')
	command_line kubectl get erasurecertificate "$name" -o 'jsonpath={.spec.document}'
	kubectl get erasurecertificate "$name" -o 'jsonpath={.spec.document}' >"$2"
}

act_certificate() {
	local digit
	title "10. A certificate, verified offline, and the same with one digit changed"
	run kubectl get erasurecertificates
	certificate erase-now "$work/erase-now.json"
	command_line kubectl --namespace lethe-system get configmap lethe-ledger-key -o 'jsonpath={.data.key}'
	kubectl --namespace lethe-system get configmap lethe-ledger-key -o 'jsonpath={.data.key}' >"$work/lethe.vkey"
	say "With these two files, and nothing else:"
	last=0
	run env -u KUBECONFIG bin/lethe verify "$work/erase-now.json" --key "$work/lethe.vkey"
	expect "the certificate is verified" 0 "$last"
	expect "rows deleted, as the certificate counts them" 29 \
		"$(grep -o '"deleted": [0-9]*' "$work/erase-now.json" | awk '{ n += $2 } END { print n }')"
	expect "e-mail addresses, names and numbers in the certificate" 0 "$(grep -ciE 'novakova|app-000101|example\.com' "$work/erase-now.json" || true)"
	digit=$(grep -om1 '"deleted": [0-9]' "$work/erase-now.json")
	digit=${digit: -1}
	sed "0,/\"deleted\": $digit/s//\"deleted\": $(((digit + 1) % 10))/" "$work/erase-now.json" >"$work/changed.json"
	run diff "$work/erase-now.json" "$work/changed.json"
	last=0
	run env -u KUBECONFIG bin/lethe verify "$work/changed.json" --key "$work/lethe.vkey"
	expect "the changed one is refused" 1 "$last"
	say "The whole ledger, read while the operator runs, and the certificate of act 7:"
	certificate erase-but-keep-tax-document "$work/tax.json"
	run bin/lethe ledger export --ledger-path "$work/lethe/ledger.db" --namespace "$namespace" --output "$work/ledger.jsonl"
	last=0
	run bin/lethe verify "$work/tax.json" --key "$work/lethe.vkey" --ledger "$work/ledger.jsonl" --earlier "$work/erase-now.json"
	expect "the certificate and the ledger are verified, and continue the checkpoint of the first certificate" 0 "$last"
	last=0
	run bin/lethe certificate render "$work/tax.json" --output "$work/tax.pdf"
	expect "the PDF is there" "0 %PDF" "$last $(head -c 4 "$work/tax.pdf")"
}

finish() {
	if [ "$misses" -gt 0 ]; then
		title "$misses of what was to be shown did not hold: see MISS above"
		exit 1
	fi
	title "All of it held."
}

stay() {
	cat <<EOF

It stays up until Ctrl-C. In another terminal, from this folder:

  export KUBECONFIG=$KUBECONFIG LETHE_DEMO_DATA=$LETHE_DEMO_DATA PATH=$work/bin:\$PATH
  kubectl get privacy
  kubectl describe erasurerequest erase-but-keep-tax-document
  kubectl get events --sort-by=.metadata.creationTimestamp

End the open process and let the request that waits for it look again; it needs an approval then:

  ats close --subject app-000303
  kubectl annotate erasurerequest erase-after-process privacy.lethe.dev/recheck=now
  kubectl patch erasurerequest erase-after-process --type=merge -p '{"spec":{"approved":true,"timing":"Immediate"}}'
  ats count --subject app-000303

The certificate of act 7 as a PDF is $work/tax.pdf

The operator's log is $work/operator.log
EOF
	trap 'exit 0' INT TERM
	wait "$operator" || true
	fail "The operator has ended."
}

set_up
act_stores
[ "$misses" -eq 0 ] || finish
for act in act_immediate act_grace_period act_duplicate act_cancel act_process act_retained act_bad_input act_traces act_certificate; do
	$act
	kill -0 "$operator" 2>/dev/null || fail "The operator has ended."
done
finish
[ -n "$once" ] || stay
