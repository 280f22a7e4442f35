#!/usr/bin/env bash
# Finds, installs or builds the servers that the tests run. `deps.sh postgres` prints the folder with initdb, postgres and
# pg_ctl, `deps.sh mariadb` the folder with mariadbd, and `deps.sh redis`, `deps.sh versitygw` and `deps.sh pdftotext` print
# the program, as `deps.sh ptarchiver` does for benchmarks. `deps.sh shelltools` makes sure that jq and openssl are there, and
# `deps.sh prometheus` prints the folder with prometheus and promtool.
set -euo pipefail
source "$(dirname "$0")/lib.sh"

has_server() { [[ -x $1/initdb && -x $1/postgres && -x $1/pg_ctl ]]; }

find_postgres() {
	local dir
	# shellcheck disable=SC2012
	for dir in "${LETHE_POSTGRES_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) \
		"$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")" \
		/opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /usr/pgsql-*/bin; do
		if [[ -n $dir ]] && has_server "$dir"; then
			echo "$dir"
			return
		fi
	done
	return 1
}

apt_install() {
	command -v apt-get >/dev/null || return 1
	local sudo=()
	if [[ $(id -u) != 0 ]]; then
		sudo -n true 2>/dev/null || return 1
		sudo=(sudo -n)
	fi
	say "installing $* with apt-get"
	"${sudo[@]}" apt-get update -qq >&2 || say "apt-get update failed, trying with the lists at hand"
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

postgres() {
	find_postgres && return
	apt_install postgresql || fail "the tests need a PostgreSQL server: install it (Debian: postgresql, Fedora: postgresql-server," \
		"macOS: brew install postgresql) or point LETHE_POSTGRES_BIN at the folder with initdb, postgres and pg_ctl"
	find_postgres || fail "apt-get installed postgresql, but no server is in /usr/lib/postgresql/*/bin"
}

# program NAME prints the program of that name, wherever systems keep their servers.
program() {
	PATH=$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec type -P "$1" # not a function of this script
}

mariadb() {
	local server=${LETHE_MARIADB_BIN:+$LETHE_MARIADB_BIN/mariadbd}
	[[ -n $server ]] || server=$(program mariadbd) || {
		apt_install mariadb-server-core || fail "the tests need a MariaDB server: install it (Debian: mariadb-server-core, Fedora: mariadb-server," \
			"macOS: brew install mariadb) or point LETHE_MARIADB_BIN at the folder with mariadbd"
		server=$(program mariadbd) || fail "apt-get installed mariadb-server-core, but no mariadbd is there"
	}
	dirname "$server"
}

redis() {
	[[ -n ${LETHE_REDIS_SERVER:-} ]] && echo "$LETHE_REDIS_SERVER" && return
	program redis-server && return
	apt_install redis-server || fail "the tests need a Redis server: install it (Debian: redis-server, Fedora: redis, macOS: brew install redis)" \
		"or point LETHE_REDIS_SERVER at the program"
	program redis-server || fail "apt-get installed redis-server, but the program is not there"
}

# A reader of PDF files.
pdftotext() {
	[[ -n ${LETHE_PDFTOTEXT:-} ]] && echo "$LETHE_PDFTOTEXT" && return
	program pdftotext && return
	apt_install poppler-utils || fail "the tests need pdftotext: install it (Debian and Fedora: poppler-utils, macOS: brew install poppler)" \
		"or point LETHE_PDFTOTEXT at the program"
	program pdftotext || fail "apt-get installed poppler-utils, but pdftotext is not there"
}

# Prometheus and promtool, unpacked from Debian's package into the cache: the package itself would start a server.
prometheus() {
	local folder=${LETHE_PROMETHEUS_BIN:-} server work
	[[ -n $folder ]] && echo "$folder" && return
	folder=$CACHE/prometheus/usr/bin
	if server=$(program prometheus) && program promtool >/dev/null; then
		folder=$(dirname "$server")
	elif [[ ! -x $folder/promtool ]]; then
		command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "the tests of alerts and dashboard need prometheus and promtool: install them" \
			"(Fedora: golang-github-prometheus, macOS: brew install prometheus) or point LETHE_PROMETHEUS_BIN at their folder"
		say "unpacking Debian's package prometheus (20 MB, once)"
		mkdir -p "$CACHE"
		work=$(mktemp -d "$CACHE/prometheus.XXXXXX")
		(cd "$work" && apt-get download -qq prometheus >&2) || fail "apt-get cannot download prometheus: try apt-get update"
		dpkg-deb -x "$work"/prometheus_*.deb "$work/root"
		[[ -d $CACHE/prometheus ]] || mv "$work/root" "$CACHE/prometheus"
		rm -rf "$work"
	fi
	echo "$folder"
}

# What an auditor verifies with by hand.
shelltools() {
	program jq && program openssl && return
	apt_install jq openssl || fail "the tests need jq and openssl: install them"
	program jq && program openssl || fail "apt-get installed jq and openssl, but they are not there"
}

# What database administrators delete old rows of MariaDB with; a benchmark compares with it where it is there.
ptarchiver() {
	program pt-archiver && return
	apt_install percona-toolkit || fail "no pt-archiver: install it (Debian and Fedora: percona-toolkit)"
	program pt-archiver || fail "apt-get installed percona-toolkit, but no pt-archiver is there"
}

# An S3 server, built once for each version into the cache that all clones share.
versitygw() {
	[[ -n ${LETHE_VERSITYGW:-} ]] && echo "$LETHE_VERSITYGW" && return
	local key target
	key=$(cd "$ROOT/hack/engines" && { cat go.mod go.sum && go env GOVERSION GOOS GOARCH; } | sha256sum | cut -c1-16)
	target=$CACHE/engines/$key/versitygw
	if [[ ! -x $target ]]; then
		say "building an S3 server (about a minute, once)"
		mkdir -p "$(dirname "$target")"
		go build -C "$ROOT/hack/engines" -trimpath -buildvcs=false -ldflags "-s -w" -o "$target.$$" github.com/versity/versitygw/cmd/versitygw
		mv "$target.$$" "$target"
	fi
	echo "$target"
}

case ${1:-} in
postgres | mariadb | redis | versitygw | pdftotext | prometheus | shelltools | ptarchiver) "$1" ;;
*) fail "usage: deps.sh postgres|mariadb|redis|versitygw|pdftotext|prometheus|shelltools|ptarchiver" ;;
esac
