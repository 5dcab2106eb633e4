#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# no_memory.sh: every function that can fail is called while its allocations fail: each function of a folder's headers
# that returns a status stands in a test of that folder that includes no_memory.h. Headers of a folder's inside are left
# out, and functions without allocations are listed with the reason.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 1
passed=0 failed=0

excused() {
    case $1 in
    vt_mail_wait) ;;                         # waits, and copies an error
    vt_child_run_until) ;;                   # what vt_child_run is
    vt_args_next | vt_arg_*) ;;              # read texts in place
    vt_range_check | vt_limit_check) ;;      # compare
    *) return 1 ;;
    esac
}

# The language-model door (lm*.h) is tried by the tests of its backends.
inside() {
    case $1 in
    *_parts.h | *_build.h | store/run_find.h | model/adapter_config.h | model/keys.h | model/lm*.h | model/tokenizer_files.h) ;;
    *) return 1 ;;
    esac
}

for folder in base loop store stats plot model; do
    tests=$(grep -l 'no_memory\.h' tests/unit/"$folder"_*.c)
    [ -n "$tests" ] || { echo "no test of engine/$folder lets allocations fail"; failed=$((failed + 1)); continue; }
    # A declaration that returns vt_status, joined when it goes over several lines.
    headers=$(for h in engine/"$folder"/*.h; do inside "${h#engine/}" || echo "$h"; done)
    # shellcheck disable=SC2086
    for name in $(cat $headers | tr '\n' ' ' | sed 's/typedef vt_status//g' | grep -oE 'vt_status +vt_[a-z0-9_]+\(' | sed 's/vt_status *//; s/(//' | sort -u); do
        excused "$name" && continue
        # shellcheck disable=SC2086
        if grep -qw "$name" $tests; then
            passed=$((passed + 1))
        else
            echo "engine/$folder: $name is never called while allocations fail ($(echo $tests))"
            failed=$((failed + 1))
        fi
    done
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
