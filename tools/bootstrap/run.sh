#!/bin/sh
# Runs a TypeScript program of this repository on Node 24, after making sure that everything it needs is there.
# usage: run.sh FILE.ts [ARGS...]     FILE is relative to the repository root.
# Needs: a POSIX shell, Node >= 20 and npm. Everything else it gets itself, into .tools/ and node_modules/.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd -P)
. "$root/tools/bootstrap/ensure.sh"
ensure_node
ensure_packages
file=$1
shift
case $file in /*) ;; *) file=$root/$file ;; esac
exec "$COXSWAIN_NODE" "$file" "$@"
