#!/bin/sh
# Verifies a certificate of erasure with jq, openssl and coreutils alone: verify-by-hand.sh CERTIFICATE.json LETHE.vkey
# Status 0 means that all four steps hold.
set -eu
certificate=$1 key=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
	echo "REFUSED: $*" >&2
	exit 1
}
unhex() { basenc --base16 -d; }
hash() { sha256sum | cut -c1-64 | tr a-f A-F; }

# 1. The ledger's entry holds the digest of the certificate in the form of RFC 8785.
digest=sha256:$(jq -jcS .certificate "$certificate" | sha256sum | cut -c1-64)
jq -j .entry "$certificate" >"$work/entry"
[ "$(jq -r .kind "$work/entry")" = certificate.issued ] || fail "the entry is of another kind"
[ "$(jq -r .attributes.digest "$work/entry")" = "$digest" ] || fail "the certificate was changed"

# 2. The proof (c2sp.org/tlog-proof) has the checkpoint after the first empty line.
jq -j .proof "$certificate" >"$work/proof"
sed '1,/^$/d' "$work/proof" >"$work/checkpoint"
sed '/^$/,$d' "$work/checkpoint" >"$work/text"

# 3. The checkpoint is signed: after the four bytes of the key's hash comes an Ed25519 signature of its text.
origin=$(sed -n 1p "$work/text")
case $origin in "$(cut -d+ -f1 "$key")"/*) ;; *) fail "the key is of another ledger" ;; esac
[ "$(jq -r .certificate.ledger "$certificate")" = "$origin" ] || fail "the certificate is of another ledger"
grep "^— $origin " "$work/checkpoint" | cut -d' ' -f3 | base64 -d | tail -c +5 >"$work/signature"
{
	printf '\060\052\060\005\006\003\053\145\160\003\041\000' # an Ed25519 key follows (RFC 8410)
	cut -d+ -f3- "$key" | base64 -d | tail -c +2
} >"$work/public.der"
openssl pkeyutl -verify -pubin -keyform DER -inkey "$work/public.der" -rawin -in "$work/text" -sigfile "$work/signature" >/dev/null ||
	fail "the checkpoint is not signed with the key"

# 4. The entry is in the tree (RFC 9162, section 2.1.3.2): hash it up to the root.
fn=$(sed -n 's/^index //p' "$work/proof") sn=$(($(sed -n 2p "$work/text") - 1))
r=$({ printf '\0' && cat "$work/entry"; } | hash)
for line in $(sed '1,/^index /d; /^$/,$d' "$work/proof"); do
	[ "$sn" -gt 0 ] || fail "the proof is too long"
	p=$(echo "$line" | base64 -d | basenc --base16 -w0)
	if [ $((fn & 1)) = 1 ] || [ "$fn" = "$sn" ]; then
		r=$(printf '01%s%s' "$p" "$r" | unhex | hash)
		while [ $((fn & 1)) = 0 ] && [ "$fn" != 0 ]; do fn=$((fn >> 1)) sn=$((sn >> 1)); done
	else
		r=$(printf '01%s%s' "$r" "$p" | unhex | hash)
	fi
	fn=$((fn >> 1)) sn=$((sn >> 1))
done
[ "$sn" = 0 ] && [ "$(printf %s "$r" | unhex | base64)" = "$(sed -n 3p "$work/text")" ] || fail "the checkpoint does not cover the entry"

echo "VERIFIED: $digest"
