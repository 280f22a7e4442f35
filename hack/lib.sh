# shellcheck shell=bash disable=SC2034
# What the scripts here share; sourced, not run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${LETHE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lethe}

say() { printf '%s\n' "$*" >&2; }

fail() {
	say "error: $*"
	exit 1
}

# Reads the output of `go build -v`: counts what it can, shows everything else.
progress() {
	awk -v every=100 '
		/^go: downloading / { if (++got % every == 0) print "  downloaded " got " modules"; fflush(); next }
		/^[A-Za-z0-9_.~\/-]+$/ { if (++built % every == 0) print "  compiled " built " packages"; fflush(); next }
		{ print; fflush() }
		END { if (built) print "  compiled " built " packages" }
	' >&2
}

# pinned_go is the Go that releases are made with.
pinned_go() { sed -n 's/^toolchain //p' "$ROOT/go.mod"; }
