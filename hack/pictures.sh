#!/usr/bin/env bash
# Makes the pictures of the documentation, docs/pictures, from the demo as it runs: terminals with what the programs print, and pages of
# the PDF. It needs pdftoppm (Debian's poppler-utils).
set -euo pipefail
source "$(dirname "$0")/lib.sh"
cd "$ROOT"

freeze=github.com/charmbracelet/freeze@v0.2.2
pictures=docs/pictures
work=$(mktemp -d)
demo=
cleanup() {
	[[ -z $demo ]] || kill -TERM "$demo" 2>/dev/null || true
	rm -rf "$work"
}
trap cleanup EXIT
GOBIN=$work go install "$freeze"

say "the demo, as far as it goes"
make --no-print-directory demo >"$work/demo.log" 2>&1 &
demo=$!
until grep -q '^It stays up until' "$work/demo.log"; do
	kill -0 "$demo" 2>/dev/null || fail "the demo has ended: $(tail -n 5 "$work/demo.log")"
	sleep 1
done
eval "$(sed -n 's/^  \(export KUBECONFIG=.*\)/\1/p' "$work/demo.log")"
folder=$(dirname "$KUBECONFIG")
export PATH=$work:$ROOT/bin:$PATH

# picture NAME COMMAND...: a terminal in which the command was typed.
picture() {
	local file=$pictures/$1.svg
	shift
	say "$file"
	{
		# Where the demo's files are is of no interest.
		echo "\$ $*"
		"$@" 2>&1
	} | sed "s|$folder/||g" | fold -w 190 >"$work/text"
	freeze "$work/text" --language text --font.family "DejaVu Sans Mono, Menlo, Consolas, monospace" --font.size 13 --padding 16 --border.radius 6 \
		--background '#101418' --output "$file" >/dev/null
}
mkdir -p "$pictures"
picture requests kubectl get erasurerequests
picture status kubectl lethe status erase-but-keep-tax-document
picture objects kubectl get privacy
picture verify bin/lethe verify "$folder/tax.json" --key "$folder/lethe.vkey" --ledger "$folder/ledger.jsonl" --earlier "$folder/erase-now.json"
pdftoppm -png -r 60 "$folder/tax.pdf" "$work/page"
cp "$work"/page-*1.png "$pictures/certificate.png"
