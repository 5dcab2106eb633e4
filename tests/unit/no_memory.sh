#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# no_memory.sh: every function that can fail is called while its allocations fail: each function of a header of the
# folders below that returns a status stands in a test of that folder that includes no_memory.h. A function without
# allocations of its own, or of the inside of its folder, is listed here with the reason.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 1
passed=0 failed=0

excused() {
    case $1 in
    vt_mail_wait) ;;                           # waits, and copies an error
    vt_run_place_find | vt_run_link) ;;        # the inside of vt_run_open
    vt_ckpt_open_gguf | vt_ckpt_open_hf) ;;    # the inside of vt_ckpt_open, as are the next five
    vt_ckpt_reserve | vt_ckpt_add | vt_tokenizer_from_gguf | vt_tokenizer_build | vt_token_source_alloc) ;;
    vt_split_compile | vt_split_run) ;;        # the inside of a tokenizer
    vt_bpe_new | vt_bpe_piece) ;;              # the inside of vt_tokenizer_encode
    vt_lm_*) ;;                                # the language-model door: tests of its backends
    *) return 1 ;;
    esac
}

for folder in base loop store stats plot model; do
    tests=$(grep -l 'no_memory\.h' tests/unit/"$folder"_*.c)
    [ -n "$tests" ] || { echo "no test of engine/$folder lets allocations fail"; failed=$((failed + 1)); continue; }
    # A declaration that returns vt_status, joined when it goes over several lines.
    for name in $(cat engine/"$folder"/*.h | tr '\n' ' ' | sed 's/typedef vt_status//g' | grep -oE 'vt_status +vt_[a-z0-9_]+\(' | sed 's/vt_status *//; s/(//' | sort -u); do
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
