#!/usr/bin/env bash
# Finds or installs what the tests need beside Go. `deps.sh postgres` prints the folder with initdb, postgres and pg_ctl.
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

case ${1:-} in
postgres) postgres ;;
*) fail "usage: deps.sh postgres" ;;
esac
