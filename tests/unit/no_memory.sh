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
    vt_listen_unix) ;;                       # asks the kernel only
    vt_loss_parse | vt_task_layout) ;;       # compute
    vt_assemble_shown) ;;                    # through vt_eval_prompt
    vt_devices_asked) ;;                     # reads a text in place
    vt_null_unit_list) ;;                    # through vt_null_list
    vt_queue_new_name | vt_eval_class_of) ;; # ask the kernel, lend
    vt_axes_of) ;;                           # through vt_plot_svg
    vt_peer_put | vt_peer_flush) ;;          # through vt_serve_open
    *) return 1 ;;
    esac
}

# The language-model door (lm*.h) is tried by the tests of its backends. Policies and the evaluator are tried through
# their public headers, behind which everything else stands.
inside() {
    case $1 in
    *_parts.h | *_build.h | store/run_find.h | model/adapter_config.h | model/keys.h | model/lm*.h | model/tokenizer_files.h) ;;
    *) return 1 ;;
    esac
}

headers_of() {
    case $1 in
    policy) echo include/vegttt/policy.h ;;
    eval) echo include/vegttt/eval.h include/vegttt/task.h engine/eval/eval.h engine/eval/extract.h engine/eval/c/assemble.h engine/eval/c/null.h ;;
    bind) echo engine/bind/bind.h ;;
    *) for h in engine/"$1"/*.h; do inside "${h#engine/}" || echo "$h"; done ;;
    esac
}

for folder in base loop store stats plot model policy eval farm bind; do
    tests=$(grep -l 'no_memory\.h' tests/unit/"$folder"_*.c)
    [ -n "$tests" ] || { echo "no test of engine/$folder lets allocations fail"; failed=$((failed + 1)); continue; }
    # A declaration that returns vt_status, joined when it goes over several lines.
    headers=$(headers_of $folder)
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
