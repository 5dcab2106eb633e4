#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# arrows.sh [REPOSITORY]: greps the #includes of engine/ and fails on an arrow that the dependency law does not allow,
# naming file and line. The law is the table below: a folder may include itself and the folders after its colon.
# bind and cli may include every folder. Of the evaluator the folders below engine/eval have laws of their own: its core
# knows no tier but in tiers.c, a tier knows the core and no other tier, and engine/eval/c/worker, a program of its own,
# knows nothing else. lua.h and its companions belong to bind.
root=${1:-$(dirname "$0")/../..}
cd "$root/engine" || exit 2

allowed() {
    case $1 in
    base) echo "" ;;
    loop | stats | plot | store | model | gpu) echo "base" ;;
    net) echo "base loop" ;;
    cpu) echo "base model" ;;
    cuda) echo "base model gpu" ;;
    policy) echo "base loop net store model cpu cuda" ;;
    eval) echo "base loop store stats" ;;
    eval/c) echo "base loop store stats eval eval/c/worker" ;;
    eval/c/worker) echo "" ;;
    eval/cuda) echo "base loop store stats gpu eval" ;;
    eval/torch) echo "base loop store stats eval" ;;
    farm) echo "base loop net eval store" ;;
    bind | cli) echo "*" ;;
    *) echo "?" ;;
    esac
}

# The folder whose law an included file falls under: its own.
folder_of() {
    echo "${1%/*}"
}

passed=0
failed=0
for folder in $(find . -type f \( -name '*.h' -o -name '*.c' -o -name '*.cu' -o -name '*.cuh' \) -exec dirname {} \; |
    sed 's|^\./||' | sort -u); do
    [ "$folder" = build ] && continue
    law=$(allowed "$folder")
    if [ "$law" = "?" ]; then
        echo "engine/$folder: the dependency law does not know this folder"
        failed=$((failed + 1))
        continue
    fi
    wrong=$(find "$folder" -maxdepth 1 -type f \( -name '*.h' -o -name '*.c' -o -name '*.cu' -o -name '*.cuh' \) -exec \
        grep -Hn '^[[:space:]]*#[[:space:]]*include' {} + | while IFS= read -r hit; do
        where=${hit%%:*}
        rest=${hit#*:}
        line=${rest%%:*}
        path=$(printf '%s\n' "${rest#*:}" | sed 's/^[^"<]*["<]\([^">]*\)[">].*/\1/')
        case $path in
        lua.h | lualib.h | lauxlib.h | luaconf.h)
            [ "$folder" = bind ] || echo "engine/$where:$line: only bind/ includes $path"
            continue
            ;;
        */*) target=$(folder_of "$path") ;;
        *) continue ;;
        esac
        [ -d "$target" ] && [ "$target" != "$folder" ] && [ "$law" != "*" ] || continue
        case $where:$target in eval/tiers.c:eval/*) continue ;; esac
        case " $law " in
        *" $target "*) ;;
        *) echo "engine/$where:$line: $folder may not include $path" ;;
        esac
    done)
    if [ -n "$wrong" ]; then
        echo "$wrong"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
