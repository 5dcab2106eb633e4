#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh [NAME]: the command line as people meet it. Each *.case file is a shell script run in an empty folder with the
# functions below; a check that fails names itself and the output it looked at. NAME: the cases with it in their names, or
# the one of that name when it ends in .case. Needs $VEGTTT (the binary) and $VEGTTT_ROOT (the sources); both default to
# this tree's build. Cases share a cache, of a run of this script or the one that $VEGTTT_CASES_CACHE names.
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
VEGTTT_ROOT=${VEGTTT_ROOT:-$(dirname "$(dirname "$here")")}
VEGTTT=${VEGTTT:-$VEGTTT_ROOT/build/vegttt}
export VEGTTT VEGTTT_ROOT
passed=0 failed=0 skipped=0 limit_s=300
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Written beside each case: what a case may call.
cat >"$work/functions" <<'FUNCTIONS'
vegttt() { "$VEGTTT" "$@"; }
# run ARGS…: vegttt with its output in out and err, its exit code in $code
run() { code=0; "$VEGTTT" "$@" >out 2>err </dev/null || code=$?; }
problem() { echo "  $1"; echo "  exit code $code"; sed 's/^/  out: /' out | head -n 12; sed 's/^/  err: /' err | head -n 12; exit 1; }
exits() { [ "$code" -eq "$1" ] || problem "expected exit code $1"; }
says() { grep -qF -- "$1" err || problem "standard error does not say: $1"; }
prints() { grep -qF -- "$1" out || problem "standard output does not say: $1"; }
# one_line: standard error is a single sentence
one_line() { [ "$(wc -l <err)" -eq 1 ] || problem "expected one line on standard error"; }
# alive PID: it runs (a zombie, which a signal still reaches, does not)
alive() { case $(cut -d ' ' -f 3 "/proc/$1/stat" 2>/dev/null) in '' | Z) return 1 ;; esac; }
# interrupted PID: Ctrl-C again and again until it has ended; its exit code in $code
interrupted() {
    n=0
    while alive "$1"; do kill -INT "$1"; sleep 0.5; n=$((n + 1)); [ $n -lt 60 ] || kill -9 "$1"; done
    code=0; wait "$1" || code=$?
}
skip() { echo "skip $1"; exit 77; }
# await TEXT FILE: until the file holds the text
await() {
    tries=0
    while ! grep -qF -- "$1" "$2" 2>/dev/null; do
        sleep 0.1
        tries=$((tries + 1))
        [ $tries -lt 900 ] || { code=none; problem "waited 90 s for '$1' in $2"; }
    done
}
# script NAME <<EOF: an experiment file NAME.lua whose main is the given text
script() {
    { echo 'local vt = require "vegttt"'; echo "return vt.experiment { name = \"$1\", doc = \"a test\", params = vt.params { n = { 3, \"a number\", min = 1 } },"; echo 'main = function(run, p)'; cat; echo 'end }'; } >"$1.lua"
}
FUNCTIONS

for case in "$here"/*.case; do
    name=$(basename "$case" .case)
    [ $# -eq 0 ] || case $name.case in "$1" | *"$1"*.case) ;; *) continue ;; esac
    mkdir "$work/$name"
    (cd "$work/$name" && XDG_CACHE_HOME="${VEGTTT_CASES_CACHE:-$work/cache}" exec timeout -k 5 "$limit_s" sh -e -c '. "$0/functions"; . "$1"' "$work" "$case") >"$work/$name.log" 2>&1
    case $? in
    0) passed=$((passed + 1)) ;;
    124 | 137) failed=$((failed + 1)); echo "FAIL $name: was not done after $limit_s s"; tail -n 20 "$work/$name.log" ;;
    77) skipped=$((skipped + 1)); grep '^skip' "$work/$name.log" | tail -n 1 | sed "s/^skip/skip $name:/" ;;
    *) failed=$((failed + 1)); echo "FAIL $name"; cat "$work/$name.log" ;;
    esac
done
if [ $skipped -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ $failed -eq 0 ]
