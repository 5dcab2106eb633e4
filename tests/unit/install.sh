#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# install.sh: what `cmake --install` leaves works without the sources: the C example is compiled against the installed
# headers and library, as C and as C++, and judges a kernel; the library exports the documented functions and no others;
# the program starts from its new place. The installed tree is moved first, since nothing in it may know where it was.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=$(dirname "${VEGTTT:-$root/build/vegttt}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() { # WHAT COMMAND…
    what=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        tail -n 15 "$work/out" | sed 's/^/    /'
    fi
}

check "cmake --install" cmake --install "$build" --prefix "$work/first"
mv "$work/first" "$work/moved"
prefix=$work/moved
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name vegttt.pc)")
export PKG_CONFIG_PATH
lib=$(pkg-config --variable=libdir vegttt)
flags="-Wall -Wextra -pedantic -Werror $(pkg-config --cflags --libs vegttt) -lpthread -Wl,-rpath,$lib"
# shellcheck disable=SC2086
check "the example as C" cc -std=c17 "$root/tests/install/evaluate.c" -o "$work/evaluate" $flags
printf '#include <vegttt/eval.h>\n#include <vegttt/policy.h>\n#include <cstdio>\nint main() { std::puts(vt_status_name(VT_EJAIL)); }\n' >"$work/name.cc"
# shellcheck disable=SC2086
check "a program as C++" c++ -std=c++17 "$work/name.cc" -o "$work/name" $flags
check "it runs" sh -c '[ "$("$0")" = EJAIL ]' "$work/name"
lua5.4 "$root/tests/lua/tasks_json.lua" "$root/lua/tasks/l1/019_relu.lua" >"$work/relu.json"
printf 'for (int i = 0; i < n; i++) y[i] = x[i] > 0 ? x[i] : 0;\n' >"$work/good.c"
printf 'for (int i = 0; i < n; i++) y[i] = x[i];\n' >"$work/bad.c"
export VEGTTT_CACHE="$work/cache"
check "a right kernel" sh -c '"$0/evaluate" "$0/relu.json" "$0/good.c" | grep -q ^correct_' "$work"
check "a wrong kernel" sh -c '"$0/evaluate" "$0/relu.json" "$0/bad.c" | grep -q ^wrong_output' "$work"
"$work/evaluate" "$work/relu.json" "$work/bad.c" >/dev/null 2>&1
check "its exit code" [ $? -eq 1 ]

nm -D --defined-only "$lib/libvegttt.so" | awk '$2 == "T" { print $3 }' | sort -u >"$work/exported"
grep -ohE '\bvt_[a-z0-9_]+\(' "$prefix"/include/vegttt/*.h | tr -d '(' | sort -u >"$work/declared"
check "no function is exported that no header declares" sh -c '[ -s "$0/exported" ] && [ -z "$(comm -23 "$0/exported" "$0/declared")" ]' "$work"
comm -13 "$work/exported" "$work/declared" | grep -vxE 'vt_(fail|[a-z0-9_]*_(done|fn))' >"$work/missing"
check "every declared function is exported" sh -c '! grep . "$0/missing"' "$work"
check "the installed program starts" sh -c '"$0/bin/vegttt" --version && "$0/bin/vegttt" doctor' "$prefix"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
